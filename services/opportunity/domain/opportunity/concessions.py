"""Conceding something to the customer: within one's authority, and by the gates (R5, R9)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import Field

from services.opportunity.domain.commands import Command
from services.opportunity.domain.gates.authority import Asked, authorised, over_authority
from services.opportunity.domain.gates.rule import named
from services.opportunity.domain.opportunity.state import OpportunityState, late
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
_PRICED = ("discount", "price")


class GrantConcessions(Command):
    """What belongs together is granted together: a lower price for earlier payment is one command. One of each kind at most."""

    action: Literal["concession"] = "concession"
    concessions: tuple[Concession, ...] = Field(min_length=1, max_length=4)
    reason: Text


@dataclass(frozen=True, slots=True)
class Granting:
    """Who may concede what, and in which roles somebody does."""

    authority: AuthorityDefined | None
    roles: frozenset[str]

    @property
    def matrix(self) -> AuthorityDefined:
        if self.authority is None:
            raise refuse("no_authority", "nobody has said who may concede what", expected="POST /authority first")
        return self.authority


def decide_concessions(
    state: OpportunityState, command: GrantConcessions, granting: Granting, at: datetime
) -> Sequence[Event]:
    """Refuses with everything that is beyond the authority of these roles, and what is said for an earlier time than the latest
    word on its kind; nothing to do when all of it is granted already."""
    authority = granting.matrix
    if faults := (*_faults(command.concessions), *_late(state, command.concessions, at)):
        raise RefusedError(faults, "input")
    granted: list[ConcessionGranted] = []
    beyond: list[Reason] = []
    said: dict[str, Concession] = {one.kind: one for one in command.concessions}
    for index, one in enumerate(command.concessions):
        known = state.concessions.get(one.kind)
        if known is not None and known.concession == one:
            continue
        measured = _measured(state, said, one)
        try:
            granted.append(_granted(one, command.reason, measured, authority, granting.roles, f"concessions.{index}"))
        except RefusedError as refusal:
            beyond += refusal.reasons
    if beyond:
        raise RefusedError(tuple(beyond), "forbidden")
    return granted


def decide_lowered(
    state: OpportunityState, amount: Money | None, granting: Granting, field: str = "amount"
) -> Sequence[Event]:
    """The lower price that an amount comes to, for which somebody answers: nothing when it is none, or was granted before.

    Before anything was offered an amount is an estimate, and this is not asked. Refuses (kind forbidden) what is beyond the
    authority of these roles.
    """
    reference = reference_of(state, amount)
    if amount is None or reference is None or amount == reference:
        return []
    reduction = _reduction(amount, reference)
    if reduction is not None and reduction <= state.conceded_bp:
        return []
    one = Concession(kind="price", price=amount)
    measured = Measured(reduction, reduction, reference, _deal(state, reference))
    return [_granted(one, None, measured, granting.matrix, granting.roles, field)]


def offered(state: OpportunityState) -> bool:
    """Does the customer know of a price?"""
    return not state.concessions.keys().isdisjoint(_PRICED)


@dataclass(frozen=True, slots=True)
class Measured:
    """In basis points of `reference`: `reduction` of the price, `together` with a discount. `deal`: how large it is."""

    reduction: int | None
    together: int | None
    reference: Money | None
    deal: Money | None


def _measured(state: OpportunityState, said: Mapping[str, Concession], one: Concession) -> Measured:
    """A discount and a price add up, whether they are granted at once or one after the other."""
    reference = reference_of(state, one.amount)
    if one.kind not in _PRICED:
        return Measured(None, None, None, _deal(state, reference))
    discount, price = said.get("discount"), said.get("price")
    known = {kind: granted for kind, granted in state.concessions.items() if kind not in said}
    if discount is None and "discount" in known:
        discount = known["discount"].concession
    reduction: int | None = 0
    if price is not None:
        reference = reference_of(state, price.amount or one.amount)
        reduction = _reduction(price.price, reference)
        reference = _higher(reference, price.price)
    elif "price" in known:
        reduction = known["price"].reduction_bp
    together = None if reduction is None else reduction + (discount.discount_bp or 0 if discount is not None else 0)
    return Measured(reduction if one.kind == "price" else None, together, reference, _deal(state, reference))


def _granted(
    one: Concession,
    reason: str | None,
    measured: Measured,
    authority: AuthorityDefined,
    roles: frozenset[str],
    field: str,
) -> ConcessionGranted:
    """Refuses (kind forbidden) what is beyond the authority of these roles."""
    size = {**dict.fromkeys(_PRICED, measured.together), "payment_terms": one.payment_days}.get(one.kind)
    own = one.discount_bp if one.kind == "discount" else measured.reduction
    asked = Asked(one.kind, size, measured.deal, together=one.kind in _PRICED and size != own)
    free = one.kind == "payment_terms" and (size or 0) <= authority.standard_payment_days
    role = None if free else authorised(authority, roles, asked)
    if role is None and not free:
        raise RefusedError((over_authority(authority, asked, field),), "forbidden")
    return ConcessionGranted(
        concession=one,
        reason=reason,
        reduction_bp=measured.reduction,
        together_bp=measured.together,
        reference=measured.reference,
        granted_as=role,
        authority_version=authority.version,
    )


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


def _late(state: OpportunityState, concessions: Sequence[Concession], at: datetime) -> Iterator[Reason]:
    """Nobody could say what a gate or the matrix would have seen then."""
    for index, one in enumerate(concessions):
        if late(state, f"concession.{one.kind}", at):
            since = state.since[f"concession.{one.kind}"].isoformat()
            fault = f"there is a word on {named(one.kind)} for a later time already"
            yield Reason("concession_late", fault, f"concessions.{index}", f"occurred_at {since} or later")


def reference_of(state: OpportunityState, said: Money | None) -> Money | None:
    """What reductions are measured by: the highest amount on record since the first of them, or what is said beside it if that is
    more. So nobody makes a deal small to stay within an authority, nor goes beyond it by small steps."""
    found = state.amount or said
    if state.amount is None and state.references and (said is None or said.currency not in state.references):
        currency, minor = min(state.references.items())
        found = Money(minor=minor, currency=currency)
    if found is None:
        return None
    known = state.references.get(found.currency)
    found = found if known is None else _higher(found, Money(minor=known, currency=found.currency))
    return _higher(found, said)


def _higher(one: Money | None, other: Money | None) -> Money | None:
    """Of one currency; of two, the first."""
    if one is None or other is None:
        return one or other
    return other if other.currency == one.currency and other.minor > one.minor else one


def _deal(state: OpportunityState, worth: Money | None) -> Money | None:
    """How large it is for a limit of the matrix: as large as anybody ever said."""
    if worth is None or worth.currency not in state.largest:
        return worth
    return _higher(worth, Money(minor=state.largest[worth.currency], currency=worth.currency))


def _reduction(price: Money | None, reference: Money | None) -> int | None:
    """Basis points below the reference, rounded up; 0 for a price that is not below it; None: cannot be measured."""
    if price is None or reference is None or reference.currency != price.currency or reference.minor <= 0:
        return None
    return max(0, -((price.minor - reference.minor) * 10_000 // reference.minor))
