"""What accounts, people, teams and products have alike: ids in other systems, and a history."""

from typing import Any

import orjson
from fastapi import APIRouter, Response

from services.account.api.asking import READS, EntityId, changed, not_found
from services.account.api.schemas import Listed
from services.account.domain.values import LinkExternalId
from services.account.entities import Entity
from services.account.identities import link_external_id
from services.account.queries.listing import LARGEST_INTEGER
from shared.contracts.event import Recorded, encode
from shared.eventstore.aggregate import Aggregate
from shared.eventstore.commands import Work
from shared.web.commanding import BackendNow, Commanding
from shared.web.events import EventItem
from shared.web.paging import CursorText, Limit, decode_cursor, page_of
from shared.web.problems import bad_request


def add_external_ids(router: APIRouter, entity: Entity[Any], answers: dict[str, Any]) -> None:
    """`POST /{entity_id}/external-ids`."""

    @router.post("/{entity_id}/external-ids", summary=f"Say how another system calls a {entity.kind}", **answers)
    async def external_ids(entity_id: EntityId, body: LinkExternalId, command: Commanding) -> Response:
        async def act(work: Work) -> str:
            await link_external_id(work, entity, str(entity_id), body)
            return str(entity_id)

        return await command.run(body, changed(act))


def add_history(
    router: APIRouter, aggregate: Aggregate[Any], kind: str | None = None, answers: dict[str, Any] = READS
) -> None:
    """`GET /{entity_id}/history`: from the store, so that it shows every write at once. `kind`: how a person calls one."""
    kind = kind or f"a {aggregate.category}"

    @router.get("/{entity_id}/history", summary=f"What happened to {kind}, the oldest first", **answers)
    async def history(
        entity_id: EntityId, backend: BackendNow, cursor: CursorText = None, limit: Limit = 50
    ) -> Listed[EventItem]:
        stream_id = aggregate.stream_id(entity_id)
        after = _version(decode_cursor(stream_id, cursor, 1))
        recorded = await backend.store.load(stream_id, after)
        count = after + len(recorded) if recorded else await backend.store.version(stream_id)
        if not count:
            raise not_found(aggregate.category, entity_id)
        events, following = page_of(recorded, limit, stream_id, lambda event: [event.version])
        return Listed(items=[_item(event) for event in events], next_cursor=following, total=count)


def _version(after: list[Any] | None) -> int:
    if after is None:
        return 0
    version = after[0]
    if not isinstance(version, int) or not 0 <= version <= LARGEST_INTEGER:
        raise bad_request("bad_cursor", "the cursor is none of ours", field="cursor")
    return version


def _item(recorded: Recorded[Any]) -> EventItem:
    return EventItem(
        position=recorded.position,
        id=recorded.event_id,
        type=recorded.event.type_name,
        type_version=recorded.event.type_version,
        stream_id=recorded.stream_id,
        version=recorded.version,
        occurred_at=recorded.occurred_at,
        recorded_at=recorded.recorded_at,
        actor=recorded.actor,
        correlation_id=recorded.correlation_id,
        causation_id=recorded.causation_id,
        data=orjson.loads(encode(recorded.event)),
    )
