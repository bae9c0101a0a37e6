"""A service's history for ever: every event in order, for whoever wants to build something of their own on it."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from shared.contracts.event import Envelope
from shared.web.auth import needs
from shared.web.commanding import PROBLEMS, BackendNow

router = APIRouter(tags=["history"])
MOST = 1_000


class EventItem(BaseModel):
    """An event as it was recorded; `type_version` says which schema `data` fit."""

    position: int
    id: UUID
    type: str
    type_version: int
    stream_id: str
    version: int
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    correlation_id: UUID
    causation_id: UUID | None
    data: dict[str, Any]


class EventPage(BaseModel):
    """`next_after`: send it as `after`; equal to `head` when all has been read."""

    items: list[EventItem]
    next_after: int
    head: int


@router.get(
    "/events",
    summary="Every event of this service, in order",
    dependencies=[Depends(needs("operations", "integration", "executive"))],
    responses=PROBLEMS,
)
async def events(
    backend: BackendNow,
    after: Annotated[int, Query(ge=0, le=2**62, description="the position after which to begin")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Events of a page.")] = 100,
) -> EventPage:
    """For whoever keeps a copy: everything after a position, for ever, the same each time."""
    head = await backend.store.head()
    items = [_item(envelope) for envelope in await backend.store.envelopes(after, limit)]
    if not items:
        return EventPage(items=items, next_after=after, head=head)
    last = items[-1].position
    return EventPage(items=items, next_after=last, head=max(head, last))  # more may have come since the head was read


def _item(envelope: Envelope) -> EventItem:
    return EventItem(
        position=envelope.position,
        id=envelope.event_id,
        type=envelope.type_name,
        type_version=envelope.type_version,
        stream_id=envelope.stream_id,
        version=envelope.version,
        occurred_at=envelope.occurred_at,
        recorded_at=envelope.recorded_at,
        actor=envelope.actor,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.causation_id,
        data=orjson.loads(envelope.data),
    )
