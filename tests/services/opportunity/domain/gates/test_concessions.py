"""Who may concede what, and what a concession does to what gates see."""

from datetime import datetime
from typing import Any

import pytest

from services.opportunity.domain.gates.defaults import PRICE_FOR_TERMS, PROMISE_AGREED
from services.opportunity.domain.gates.evaluate import rulings_of
from services.opportunity.domain.opportunity.concessions import GrantConcessions
from services.opportunity.domain.opportunity.decide import Circumstances, decide
from services.opportunity.domain.opportunity.progress import AssertProgress
from services.opportunity.domain.opportunity.terms import ChangeAmount
from shared.contracts.event import Event
from shared.contracts.opportunity import (
    AmountEstimated,
    AmountRaised,
    AmountReduced,
    Concession,
    ConcessionGranted,
    GateWarned,
    Lacking,
    OpportunityWon,
)
from shared.kit.money import Money
from shared.testing.given import Result, given
from tests.services.opportunity.deals import LATER, SEEN, SHORT, Deals, story, win
from tests.services.opportunity.domain.gates.rules import DAY, MATRIX, defined, gates

WORTH = Money(minor=10_000, currency="CNY")
BIG = Money(minor=10_001, currency="CNY")


def granting(*concessions: dict[str, Any]) -> GrantConcessions:
    return GrantConcessions(concessions=tuple(Concession(**one) for one in concessions), reason="Rival is cheaper")


def discount(bp: int, **more: Any) -> dict[str, Any]:
    return {"kind": "discount", "discount_bp": bp, **more}


def price(minor: int, currency: str = "CNY") -> dict[str, Any]:
    return {"kind": "price", "price": Money(minor=minor, currency=currency)}


def paid_in(days: int) -> dict[str, Any]:
    return {"kind": "payment_terms", "payment_days": days}


def promise(*agreed: str) -> dict[str, Any]:
    return {"kind": "non_standard_promise", "promise": "Imported bearings", "agreed_by": agreed}


def by(
    *roles: str,
    amount: Money | None = WORTH,
    facts: tuple[Event, ...] = (),
    book: tuple[Event, ...] = (MATRIX,),
    at: datetime = LATER,
    done: bool = False,
) -> Any:
    """`done`: all stages are completed."""
    before: list[Any] = [ChangeAmount(amount=amount)] if amount else []
    before += [AssertProgress(completed_stage=3, note="CRM")] if done else []
    told = [*story(*before), *((fact, LATER) for fact in facts)]
    circumstances = Circumstances(SHORT, at, "tester", LATER, roles=frozenset(roles), gates=gates(*book))

    def decided(command: Any) -> Result:
        return given(Deals(), told).when(lambda state: decide(state, command, circumstances))

    return decided


def granted(
    one: dict[str, Any],
    role: str | None,
    reduction: int | None = None,
    together: int | None = None,
    reference: Money | None = WORTH,
) -> ConcessionGranted:
    priced = one["kind"] in ("discount", "price")
    return ConcessionGranted.model_validate(
        {
            "concession": Concession(**one),
            "reason": "Rival is cheaper",
            "reduction_bp": reduction,
            "together_bp": together or reduction or one.get("discount_bp"),
            "reference": reference if priced else None,
            "granted_as": role,
            "authority_version": 1,
        }
    )


def amount(minor: int, former: Money = WORTH) -> AmountReduced:
    return AmountReduced(amount=Money(minor=minor, currency="CNY"), former=former)


def implied(minor: int, reduction: int, role: str = "manager") -> ConcessionGranted:
    """What a lower amount comes to."""
    return granted(price(minor), role, reduction).model_copy(update={"reason": None})


def test_within_ones_authority_it_is_granted_as_the_lowest_role_that_may() -> None:
    by("seller", "executive")(granting(discount(500))).then(granted(discount(500), "seller"))
    by("seller", "executive")(granting(discount(501))).then(granted(discount(501), "executive"))


def test_beyond_it_is_told_who_may() -> None:
    result = by("seller")(granting(discount(800)))
    result.refused("over_authority")
    assert result.refusal is not None
    assert result.refusal.kind == "forbidden"
    [reason] = result.refusal.reasons
    assert reason.message == ("discount of 8 % on a deal of 100.00 CNY is beyond your authority (matrix version 1)")
    assert reason.expected == "somebody with the role manager, executive"


def test_up_to_which_amount() -> None:
    by("manager")(granting(discount(800))).then(granted(discount(800), "manager"))
    by("manager", amount=BIG)(granting(discount(800))).refused("over_authority")
    by("manager", amount=Money(minor=1, currency="USD"))(granting(discount(800))).refused("over_authority")
    by("manager", amount=None)(granting(discount(800))).refused("over_authority")
    said = discount(800, amount=WORTH)
    by("manager", amount=None)(granting(said)).then(granted(said, "manager"))


def test_nobody_makes_a_deal_small_to_stay_within() -> None:
    by("manager", amount=BIG)(granting(discount(800, amount=WORTH))).refused("over_authority")


def test_a_price_is_measured_against_what_the_deal_is_worth() -> None:
    by("manager")(granting(price(9_000))).then(granted(price(9_000), "manager", 1_000))
    by("manager")(granting(price(8_999))).refused("over_authority")
    raised = granted(price(11_000), "manager", 0, reference=Money(minor=11_000, currency="CNY"))
    by("manager")(granting(price(11_000))).then(raised.model_copy(update={"together_bp": 0}))


def test_what_cannot_be_measured_is_for_who_has_no_limit() -> None:
    for amount, one in ((None, price(1)), (WORTH, price(1, "USD"))):
        by("manager", amount=amount)(granting(one)).refused("over_authority")
        measured_by = amount or one["price"]
        by("executive", amount=amount)(granting(one)).then(granted(one, "executive", reference=measured_by))


def test_better_payment_terms_than_the_standard_need_nobody() -> None:
    by("integration")(granting(paid_in(30))).then(granted(paid_in(30), None))
    by("seller")(granting(paid_in(31))).refused("over_authority")
    by("manager")(granting(paid_in(60))).then(granted(paid_in(60), "manager"))


def test_everything_beyond_is_told_at_once() -> None:
    by("seller")(granting(discount(800), paid_in(60))).refused("over_authority", "over_authority")


def test_granted_again_alike_there_is_nothing_to_do() -> None:
    by("seller", facts=(granted(discount(500), "seller"),))(granting(discount(500))).nothing()


def test_without_a_matrix_nobody_concedes_anything() -> None:
    by("executive", book=())(granting(discount(1))).refused("no_authority")


@pytest.mark.parametrize(
    ("concessions", "codes"),
    [
        (({"kind": "discount"},), ["bad_concession"]),
        (({"kind": "discount", "discount_bp": 1, "payment_days": 1},), ["bad_concession"]),
        (({"kind": "price", "discount_bp": 1},), ["bad_concession", "bad_concession"]),
        (({"kind": "discount", "discount_bp": 1, "agreed_by": ("quality",)},), ["bad_concession"]),
        ((discount(1), discount(2)), ["granted_twice"]),
        ((price(-1),), ["negative_amount"]),
    ],
)
def test_what_cannot_be_meant(concessions: tuple[dict[str, Any], ...], codes: list[str]) -> None:
    by("executive")(granting(*concessions)).refused(*codes)


def test_a_price_concession_without_a_better_payment_term_warns() -> None:
    book = (MATRIX, defined("terms", of=PRICE_FOR_TERMS))
    lacking = (Lacking(fact="payment_days_saved", test="above", wanted="0", found="0"),)
    warned = GateWarned(gate="terms", gate_version=1, act="discount", lacking=lacking)
    by("seller", book=book)(granting(discount(500))).then([granted(discount(500), "seller"), warned])


def test_in_return_for_earlier_payment_it_passes_in_silence() -> None:
    book = (MATRIX, defined("terms", of=PRICE_FOR_TERMS))
    both = (granted(discount(500), "seller"), granted(paid_in(0), None))
    by("seller", book=book)(granting(discount(500), paid_in(0))).then(both)
    agreed_before = by("seller", book=book, facts=(granted(paid_in(0), None),))
    agreed_before(granting(discount(500))).then(granted(discount(500), "seller"))


def test_a_promise_needs_the_word_of_those_who_must_keep_it() -> None:
    book = (MATRIX, defined("promises", of=PROMISE_AGREED))
    by("manager", book=book)(granting(promise())).refused("gate_control")
    by("manager", book=book)(granting(promise("purchasing"))).then(granted(promise("purchasing"), "manager"))


def test_the_latest_word_on_each_kind_counts() -> None:
    first, second = granted(discount(100), "seller"), granted(discount(200), "seller")
    told = [*story(), (second, LATER), (first, LATER.replace(year=LATER.year - 1))]
    state = given(Deals(), told).state
    assert state.concessions["discount"] == second


def test_a_word_for_an_earlier_time_than_the_latest_is_refused() -> None:
    facts = (granted(promise("quality"), "manager"),)
    book = (MATRIX, defined("promises", of=PROMISE_AGREED))
    decided = by("manager", book=book, facts=facts, at=LATER - DAY)
    decided(granting(promise())).refused("concession_late")
    decided(granting(discount(100))).then(granted(discount(100), "manager"))


def test_a_gate_judges_what_is_granted_whatever_was_said_for_later() -> None:
    told = [*story(), (granted(promise("quality"), "manager"), LATER)]
    held_to = gates(MATRIX, defined("promises", of=PROMISE_AGREED))
    early = granted(promise(), "manager")
    [said] = rulings_of(given(Deals(), told).state, [early], SHORT, held_to, LATER - DAY)
    assert said.verdict == "refused"


def test_a_discount_and_a_price_add_up() -> None:
    by("seller")(granting(discount(300), price(9_700))).refused("over_authority", "over_authority")
    both = by("manager")(granting(discount(300), price(9_700)))
    both.then([granted(discount(300), "manager", None, 600), granted(price(9_700), "manager", 300, 600)])
    after = by("manager", facts=(granted(discount(500), "seller"),))(granting(price(9_400)))
    after.refused("over_authority")
    assert after.refusal is not None
    assert after.refusal.reasons[0].message.startswith("discount and price together of 11 % on a deal of 100.00 CNY")
    before = by("manager", facts=(granted(price(9_500), "manager", 500),))
    before(granting(discount(600))).refused("over_authority")
    before(granting(discount(500))).then(granted(discount(500), "manager", None, 1_000))


def test_small_steps_are_measured_from_where_the_first_began() -> None:
    facts = (granted(price(9_500), "manager", 500), amount(9_500))
    by("manager", facts=facts)(granting(price(8_999))).refused("over_authority")
    by("manager", facts=facts)(granting(price(9_000))).then(granted(price(9_000), "manager", 1_000))


def test_a_limit_is_for_a_deal_as_large_as_anybody_ever_said() -> None:
    big = (AmountRaised(amount=BIG, former=WORTH), amount(5_000, BIG))
    by("manager", facts=big)(granting(discount(800))).refused("over_authority")


def test_an_amount_is_an_estimate_until_a_price_is_offered() -> None:
    less = ChangeAmount(amount=Money(minor=1, currency="CNY"))
    by("seller")(less).then(AmountReduced(amount=less.amount, former=WORTH))
    by("seller", facts=(granted(paid_in(60), "manager"),))(less).then(AmountReduced(amount=less.amount, former=WORTH))


def test_once_a_price_is_offered_a_lower_amount_is_a_lower_price() -> None:
    offered = (granted(discount(500), "seller"),)
    within, beyond = Money(minor=9_500, currency="CNY"), Money(minor=9_100, currency="CNY")
    by("seller", facts=offered)(ChangeAmount(amount=within)).then(AmountReduced(amount=within, former=WORTH))
    by("seller", facts=offered)(ChangeAmount(amount=beyond)).refused("over_authority")
    by("manager", facts=offered)(ChangeAmount(amount=beyond)).then(
        [AmountReduced(amount=beyond, former=WORTH), implied(9_100, 900)]
    )
    by("manager", facts=offered)(ChangeAmount(amount=Money(minor=9_900, currency="USD"))).refused("over_authority")


def test_what_is_said_of_an_earlier_amount_lowers_nothing_now() -> None:
    offered = (granted(discount(500), "seller"), AmountRaised(amount=BIG, former=WORTH))
    cheap = Money(minor=1, currency="CNY")
    by("seller", facts=offered, at=LATER - DAY)(ChangeAmount(amount=cheap)).then(AmountEstimated(amount=cheap))


def test_a_contract_below_the_amount_on_record_is_a_lower_price() -> None:
    book = (MATRIX, defined("terms", of=PRICE_FOR_TERMS))
    lower = Money(minor=9_100, currency="CNY")
    won = OpportunityWon(amount=lower, evidence=SEEN)
    by("seller", book=book, done=True)(win(lower)).refused("over_authority")
    lacking = (Lacking(fact="payment_days_saved", test="above", wanted="0", found="0"),)
    warned = GateWarned(gate="terms", gate_version=1, act="price", lacking=lacking)
    by("manager", book=book, done=True)(win(lower)).then([implied(9_100, 900), won, warned])
    by("seller", book=book, done=True)(win()).then(OpportunityWon(amount=WORTH, evidence=SEEN))
    by("seller", book=book, done=True)(win(BIG)).then(OpportunityWon(amount=BIG, evidence=SEEN))


def test_a_contract_for_nothing_is_no_lower_price_than_nothing() -> None:
    nothing = Money(minor=0, currency="CNY")
    by("seller", amount=nothing, done=True)(win(nothing)).then(OpportunityWon(amount=nothing, evidence=SEEN))


def test_what_was_granted_is_not_granted_again_with_the_contract() -> None:
    granted_before = (granted(discount(500), "seller"),)
    agreed = Money(minor=9_500, currency="CNY")
    by("seller", facts=granted_before, done=True)(win(agreed)).then(OpportunityWon(amount=agreed, evidence=SEEN))
    lowered_elsewhere = (*granted_before, amount(9_000))
    by("seller", facts=lowered_elsewhere, done=True)(win()).refused("over_authority")
