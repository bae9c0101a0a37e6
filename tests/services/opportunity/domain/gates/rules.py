"""Small gates and books for the tests of error-proofing."""

from datetime import datetime, timedelta
from typing import Any

from services.opportunity.domain.gates.book import GateBook, evolve_book
from services.opportunity.domain.gates.evaluate import Gates
from shared.contracts.event import Event
from shared.contracts.opportunity import AuthorityDefined, Condition, GateDefined, GateRule, Grant, Guard, ProofCase
from shared.kit.money import Money
from shared.testing.given import START, given
from tests.services.opportunity.deals import LATER

AMOUNT_KNOWN = Condition(fact="amount", test="known")
FIVE = Money(minor=5, currency="CNY")
PROOFS = (
    ProofCase(name="unknown", expect="fires"),
    ProofCase(name="known", facts={"amount": FIVE}, expect="passes"),
)


class Books:
    """`GATE_BOOK` without the store."""

    category, initial, evolve = "gate_book", GateBook(), staticmethod(evolve_book)


def rule(act: str = "win", *stages: int | str, mode: str = "control", **fields: Any) -> GateRule:
    return GateRule.model_validate(
        {
            "names": {"en": "A gate"},
            "guards": (Guard.model_validate({"act": act, "stages": stages}),),
            "requires": AMOUNT_KNOWN,
            "mode": mode,
            "message": {"en": "The amount is missing"},
            "proofs": PROOFS,
            **fields,
        }
    )


def defined(
    key: str = "gate",
    version: int = 1,
    at: datetime = START,
    until: datetime | None = None,
    of: GateRule | None = None,
    **fields: Any,
) -> GateDefined:
    return GateDefined(
        key=key,
        version=version,
        rule=of or rule(**fields),
        effective_from=at,
        effective_to=until,
    )


MATRIX = AuthorityDefined(
    version=1,
    standard_payment_days=30,
    effective_from=START,
    grants=(
        Grant(role="seller", kind="discount", most=500),
        Grant(role="manager", kind="discount", most=1_000, up_to=(Money(minor=10_000, currency="CNY"),)),
        Grant(role="executive", kind="discount"),
        Grant(role="manager", kind="price", most=1_000),
        Grant(role="executive", kind="price"),
        Grant(role="manager", kind="payment_terms", most=60),
        Grant(role="manager", kind="non_standard_promise"),
    ),
)


def book(*events: Event) -> GateBook:
    return given(Books(), [(event, START) for event in events]).state


def gates(*events: Event, now: datetime = LATER) -> Gates:
    return Gates(book(*events), now)


DAY = timedelta(days=1)
