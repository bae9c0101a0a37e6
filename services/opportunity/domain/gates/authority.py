"""Who may grant what up to which amount: the authority matrix (R5)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.opportunity.domain.gates.rule import named
from shared.contracts.opportunity import AuthorityDefined, Grant
from shared.contracts.opportunity.gates import ConcessionKind, GrantingRole
from shared.contracts.refusal import Reason
from shared.kit.money import Money

RANKS: Sequence[GrantingRole] = ("seller", "manager", "finance", "operations", "executive", "integration")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be conceded. `size`: basis points or days, None where it cannot be measured; `deal`: what the deal is worth.
    `together`: the size is that of discount and price together."""

    kind: ConcessionKind
    size: int | None
    deal: Money | None
    together: bool = False


def covers(grant: Grant, asked: Asked) -> bool:
    """What cannot be measured is covered by a grant without limit alone."""
    if grant.kind != asked.kind:
        return False
    if grant.most is not None and (asked.size is None or asked.size > grant.most):
        return False
    if not grant.up_to:
        return True
    deal = asked.deal
    return deal is not None and any(
        limit.currency == deal.currency and deal.minor <= limit.minor for limit in grant.up_to
    )


def authorised(authority: AuthorityDefined, roles: Iterable[str], asked: Asked) -> GrantingRole | None:
    """The first of the roles, from the lowest, whose authority covers it."""
    held = set(roles)
    able = {grant.role for grant in authority.grants if covers(grant, asked)}
    return next((role for role in RANKS if role in held and role in able), None)


def over_authority(authority: AuthorityDefined, asked: Asked, field: str) -> Reason:
    able = {grant.role for grant in authority.grants if covers(grant, asked)}
    may = ", ".join(role for role in RANKS if role in able)
    worth = f" on a deal of {asked.deal}" if asked.deal is not None else " on a deal whose amount is not on record"
    kind = "discount and price together" if asked.together else named(asked.kind)
    what = f"{kind}{_size(asked)}{worth} is beyond your authority (matrix version {authority.version})"
    expected = f"somebody with the role {may}" if may else "nobody may: less of it, or another authority matrix"
    return Reason("over_authority", what, field, expected)


def _size(asked: Asked) -> str:
    if asked.size is None:
        return "" if asked.kind == "non_standard_promise" else " that cannot be measured"
    return f" of {asked.size} days" if asked.kind == "payment_terms" else f" of {asked.size / 100:g} %"
