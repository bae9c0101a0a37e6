"""Many requests at once, for imports: COPY under the same lock as every other append."""

from collections.abc import Sequence
from typing import Any

from shared.eventstore.entry import Entry
from shared.eventstore.reading import COMMANDS, VERSIONS, command_of
from shared.eventstore.types import Appended, CommandSeenError, VersionConflictError

EVENT_COLUMNS = (
    "position", "stream_id", "version", "event_id", "type_name", "type_version", "data", "occurred_at",
    "recorded_at", "actor", "correlation_id", "causation_id", "traceparent",
)  # fmt: skip
COMMAND_COLUMNS = (
    "command_id", "input_hash", "answer", "versions", "first_position", "last_position", "recorded_at",
)  # fmt: skip
LOCK_HEAD = "SELECT position, greatest(recorded_at, clock_timestamp()) AS moment FROM store.head WHERE one FOR UPDATE"
MOVE_HEAD = "UPDATE store.head SET position = $1, recorded_at = $2 WHERE one"


async def copy_in(connection: Any, entries: Sequence[Entry]) -> list[Appended]:
    """All requests or none, in their order; a later one may build on the streams of an earlier one.

    Raises VersionConflictError with everything that differs, or CommandSeenError for the first command on
    record.
    """
    start = _starting_versions(entries)
    ids = [entry.command_id for entry in entries if entry.command_id is not None]
    if len(set(ids)) < len(ids):
        raise ValueError("a command id occurs twice in one bulk append")
    async with connection.transaction(isolation="read_committed"):
        head = await connection.fetchrow(LOCK_HEAD)
        seen = await connection.fetchrow(COMMANDS + " LIMIT 1", ids)
        if seen is not None:
            raise CommandSeenError(command_of(seen))
        actual = {row["id"]: row["version"] for row in await connection.fetch(VERSIONS, list(start))}
        differing = {stream: actual[stream] for stream, version in start.items() if actual[stream] != version}
        if differing:
            raise VersionConflictError(differing)
        events, commands, results = _records(entries, head["position"], head["moment"])
        await connection.copy_records_to_table("event", schema_name="store", columns=EVENT_COLUMNS, records=events)
        await connection.copy_records_to_table(
            "command", schema_name="store", columns=COMMAND_COLUMNS, records=commands
        )
        if events:
            await connection.execute(MOVE_HEAD, head["position"] + len(events), head["moment"])
    return results


def _starting_versions(entries: Sequence[Entry]) -> dict[str, int]:
    """The version that each stream must have before the first request. Raises VersionConflictError when
    the requests do not fit each other.
    """
    start: dict[str, int] = {}
    now: dict[str, int] = {}
    for entry in entries:
        for stream_id, version in entry.request.expected.items():
            start.setdefault(stream_id, version)
            if now.setdefault(stream_id, version) != version:
                raise VersionConflictError({stream_id: now[stream_id]})
        now.update(entry.written)
    return start


def _records(
    entries: Sequence[Entry], position: int, moment: Any
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[Appended]]:
    """Rows of events, rows of commands, and what is answered to each request."""
    events: list[tuple[Any, ...]] = []
    commands: list[tuple[Any, ...]] = []
    results: list[Appended] = []
    for entry in entries:
        request, command = entry.request, entry.request.command
        first = position + 1 if entry.data else 0
        for pending, data, version in zip(request.events, entry.data, entry.versions, strict=True):
            position += 1
            events.append(
                (
                    position,
                    pending.stream_id,
                    version,
                    pending.event_id,
                    pending.event.type_name,
                    pending.event.type_version,
                    data,
                    pending.occurred_at,
                    moment,
                    request.actor,
                    request.correlation_id,
                    request.causation_id,
                    request.traceparent,
                )
            )
        last = position if entry.data else 0
        if command is not None:
            commands.append(
                (
                    command.command_id,
                    command.input_hash,
                    entry.answer,
                    entry.answer_versions,
                    first,
                    last,
                    moment,
                )
            )
        results.append(Appended(first, last, entry.written, moment))
    return events, commands, results
