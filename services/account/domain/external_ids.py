"""External ids: an entity has at most one per system, and no two entities of a kind have the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.account.domain.values import RESERVED_SYSTEMS
from shared.contracts.account import ExternalIdClaimed, ExternalIdReleased
from shared.contracts.event import Event, Recorded
from shared.contracts.refusal import refuse


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose external id it is; None: nobody's."""

    entity_id: str | None = None


UNCLAIMED = Claim()


def evolve(claim: Claim, recorded: Recorded[Any]) -> Claim:
    match recorded.event:
        case ExternalIdClaimed(entity_id=entity_id):
            return Claim(entity_id)
        case ExternalIdReleased():
            return UNCLAIMED
        case _:
            return claim


def decide_claim(claim: Claim, entity_id: str, what: str, field: str = "external_id") -> list[Event]:
    """`what` names the external id in a refusal. Refuses `external_id_taken`."""
    if claim.entity_id == entity_id:
        return []
    if claim.entity_id is not None:
        raise refuse("external_id_taken", f"{what} belongs to {claim.entity_id} already", field=field)
    return [ExternalIdClaimed(entity_id=entity_id)]


def decide_release(claim: Claim, entity_id: str) -> list[Event]:
    return [ExternalIdReleased(entity_id=entity_id)] if claim.entity_id == entity_id else []


def link(known: Mapping[str, str], system: str, external_id: str, *, replace: bool) -> bool:
    """Whether there is anything to do. Refuses `reserved_system` (input) and `other_external_id`."""
    if system in RESERVED_SYSTEMS:
        hint = RESERVED_SYSTEMS[system]
        raise refuse("reserved_system", f"{system} is built in: {hint}", field="system", expected=hint, kind="input")
    if known.get(system) == external_id:
        return False
    if system in known and not replace:
        raise refuse(
            "other_external_id",
            f"its id in {system} is {known[system]!r} already",
            field="external_id",
            expected="replace: true, to give that one up",
        )
    return True
