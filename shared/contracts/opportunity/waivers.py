"""Leave to pass a gate without what it requires (R5): stream `waiver-<id>`. That one has expired needs no event: it says when."""

from pydantic import AwareDatetime, Field

from shared.contracts.event import Event
from shared.contracts.opportunity.contract import CONTRACT, EntityId, Text
from shared.contracts.opportunity.gates import Key


@CONTRACT.event("opportunity.waiver_requested", stream="waiver")
class WaiverRequested(Event):
    """`gate_version`: the one that was in force when it was asked for. `requested_by`: a login; `requested_by_person`: whose it was
    then, absent where it was nobody's."""

    gate: Key
    gate_version: int = Field(ge=1)
    opportunity_id: EntityId
    requested_by: str
    requested_by_person: EntityId | None = None
    reason: Text
    expires_at: AwareDatetime


@CONTRACT.event("opportunity.waiver_approved", stream="waiver")
class WaiverApproved(Event):
    """By another person than the one who asked. `expires_at`: never later than was asked for."""

    approved_by: str
    expires_at: AwareDatetime
    note: Text | None = None


@CONTRACT.event("opportunity.waiver_refused", stream="waiver")
class WaiverRefused(Event):
    refused_by: str
    reason: Text


@CONTRACT.event("opportunity.waiver_withdrawn", stream="waiver")
class WaiverWithdrawn(Event):
    """By the one who asked, before anybody decided."""

    withdrawn_by: str
    reason: Text | None = None
