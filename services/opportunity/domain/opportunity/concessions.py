"""Conceding something to the customer: within one's authority, and by the gates (R5, R9)."""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from services.opportunity.domain.commands import Command
from services.opportunity.domain.gates.authority import Asked, authorised, over_authority
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.opportunity.terms import checked_amount
from shared.contracts.event import Event
from shared.contracts.opportunity import AuthorityDefined, Concession, ConcessionGranted, Text
from shared.contracts.refusal import Reason, RefusedError, refuse
from shared.kit.money import Money

_SAYS = {
    "discount": "discount_bp",
    "price": "price",
    "payment_terms": "payment_days",
    "non_standard_promise": "promise",
}


class GrantConcessions(Command):
    """What belongs together is granted together: a lower price for earlier payment is one command. One of each kind at most."""

    action: Literal["concession"] = "concession"
    concessions: tuple[Concession, ...] = Field(min_length=1, max_length=4)
    reason: Text


def decide_concessions(
    state: OpportunityState, command: GrantConcessions, authority: AuthorityDefined | None, roles: frozenset[str]
) -> Sequence[Event]:
    """Refuses with everything that is beyond the authority of these roles; nothing to do when all of it is granted already."""
    if authority is None:
        raise refuse("no_authority", "nobody has said who may concede what", expected="POST /authority first")
    if faults := tuple(_faults(command.concessions)):
        raise RefusedError(faults, "input")
    granted: list[Event] = []
    beyond: list[Reason] = []
    for index, one in enumerate(command.concessions):
        known = state.concessions.get(one.kind)
        if known is not None and known.concession == one:
            continue
        deal = _deal(state.amount, one.amount)
        reduction = _reduction(one.price, deal)
        asked = Asked(one.kind, _size(one, reduction), deal)
        free = one.kind == "payment_terms" and (asked.size or 0) <= authority.standard_payment_days
        role = None if free else authorised(authority, roles, asked)
        if role is None and not free:
            beyond.append(over_authority(authority, asked, f"concessions.{index}"))
        granted.append(
            ConcessionGranted(
                concession=one,
                reason=command.reason,
                reduction_bp=reduction,
                granted_as=role,
                authority_version=authority.version,
            )
        )
    if beyond:
        raise RefusedError(tuple(beyond), "forbidden")
    return granted


def _faults(concessions: Sequence[Concession]) -> Iterator[Reason]:
    kinds = [one.kind for one in concessions]
    for index, one in enumerate(concessions):
        where = f"concessions.{index}"
        if one.kind in kinds[:index]:
            yield Reason("granted_twice", f"two words on {one.kind} in one command", f"{where}.kind", "one of a kind")
        for kind, field in _SAYS.items():
            if (getattr(one, field) is not None) != (kind == one.kind):
                fault = f"{one.kind} is said by {_SAYS[one.kind]}"
                yield Reason("bad_concession", fault, f"{where}.{field}", f"{_SAYS[one.kind]} alone")
        if one.agreed_by and one.kind != "non_standard_promise":
            fault = "only a promise is agreed by those who keep it"
            yield Reason("bad_concession", fault, f"{where}.agreed_by", "kind non_standard_promise")
        for field in ("price", "amount"):
            amount = getattr(one, field)
            if amount is not None:
                checked_amount(amount, f"{where}.{field}")


def _size(one: Concession, reduction: int | None) -> int | None:
    return {"discount": one.discount_bp, "price": reduction, "payment_terms": one.payment_days}.get(one.kind)


def _deal(on_record: Money | None, said: Money | None) -> Money | None:
    """What it is worth: nobody makes a deal small on record to stay within an authority."""
    if on_record is None or said is None:
        return on_record or said
    return said if said.currency == on_record.currency and said.minor > on_record.minor else on_record


def _reduction(price: Money | None, deal: Money | None) -> int | None:
    """Basis points below what the deal is worth, rounded up; 0 for a price that is not below it; None: cannot be measured."""
    if price is None or deal is None or deal.currency != price.currency or deal.minor <= 0:
        return None
    return max(0, -((price.minor - deal.minor) * 10_000 // deal.minor))
