"""Bring back from the log what a restored or failed-over store has lost: same events, same positions, same ids."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg
import orjson

from shared.contracts.event import Contract, Envelope
from shared.eventstore.types import CommandRecord
from shared.log.cloudevents import BadRecordError, decode_record
from shared.log.port import Log, LogConsumer, LogRecord, LogUnavailableError
from shared.relay.given import decode_command
from shared.relay.lease import open_lease_session, try_lease

BATCH = 2_000
FETCH_SECONDS = 10.0
FETCHES = 6  # in a row that give nothing, before the log is taken to be away
LOST_TYPE = "keyfold.position_lost"
NAMED_POSITIONS = 20

Event: TypeAlias = tuple[Envelope, CommandRecord | None]

COLUMNS = (
    "position", "event_id", "stream_id", "version", "type_name", "type_version", "data", "occurred_at", "recorded_at",
    "actor", "correlation_id", "causation_id", "traceparent",
)  # fmt: skip
STAGING = """
CREATE TEMPORARY TABLE recovered (
    position bigint, event_id uuid, stream_id text, version int, type_name text, type_version int, data text,
    occurred_at timestamptz, recorded_at timestamptz, actor text, correlation_id uuid, causation_id uuid, traceparent text
) ON COMMIT DROP
"""
STAGING_COMMANDS = """
CREATE TEMPORARY TABLE recovered_command (
    command_id text, input_hash bytea, answer text, versions text, first_position bigint, last_position bigint,
    recorded_at timestamptz
) ON COMMIT DROP
"""
APPEND_COMMANDS = """
INSERT INTO store.command (command_id, input_hash, answer, versions, first_position, last_position, recorded_at)
SELECT command_id, input_hash, answer::json, versions::json, first_position, last_position, recorded_at
FROM recovered_command c
WHERE NOT EXISTS (
    SELECT FROM recovered r
    WHERE r.type_name = $1 AND r.position BETWEEN c.first_position AND c.last_position
)
ON CONFLICT DO NOTHING
"""
# What a command wrote was written together: it vouches for positions that nobody has published anything of.
LAST_POSITION = """
SELECT greatest($1::bigint, (SELECT max(position) FROM recovered), (SELECT max(last_position) FROM recovered_command))
"""
UNKNOWN_POSITIONS = """
SELECT p FROM generate_series($1::bigint + 1, $2::bigint) p
WHERE NOT EXISTS (SELECT FROM recovered r WHERE r.position = p) ORDER BY p
"""
APPEND = """
INSERT INTO store.event (position, event_id, stream_id, version, type_name, type_version, data, occurred_at, recorded_at,
                         actor, correlation_id, causation_id, traceparent)
SELECT DISTINCT ON (position) position, event_id, stream_id, version, type_name, type_version, data::json, occurred_at,
       recorded_at, actor, correlation_id, causation_id, traceparent
FROM recovered ORDER BY position
"""
# A position whose event nobody has any more keeps its place in the order: readers skip a type that they do not know.
FILL = """
INSERT INTO recovered
SELECT p, gen_random_uuid(), 'keyfold_lost-' || p, 1, $2, 1, '{}', moment, moment, 'keyfold recover', gen_random_uuid(), NULL,
       NULL
FROM unnest($1::bigint[]) p
CROSS JOIN LATERAL (
    SELECT coalesce(min(recorded_at) FILTER (WHERE position > p), max(recorded_at)) AS moment FROM recovered
) beside
"""


class RecoveryRefusedError(Exception):
    """Nothing was changed; the message says why."""


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """The store reached to `before` and reaches to `after` now. `read` records were looked at; `lost` positions were filled
    with a marker, for their events had never been published. `commands` that may be given again came back with all their events."""

    topic: str
    before: int
    after: int
    read: int
    lost: tuple[int, ...] = ()
    commands: int = 0

    @property
    def recovered(self) -> int:
        return self.after - self.before - len(self.lost)


async def recover(dsn: str, log: Log, contract: Contract, *, accept_loss: bool = False) -> RecoveryReport:
    """Append to the store what the log has beyond its head, in one transaction. The service must be stopped.

    Raises RecoveryRefusedError when its relay runs, when store and log hold different events at one position, or, unless
    `accept_loss`, when an event is missing between those of the log or of a command that is there in part;
    LogUnavailableError when the log could not be read to its end.
    """
    session = await open_lease_session(dsn)
    try:
        if not await try_lease(session, contract.topic):
            raise RecoveryRefusedError(f"a relay of {contract.topic} is running; stop the service first")
        await session.execute("SET statement_timeout = 0")
        async with session.transaction():
            before = await session.fetchval("SELECT position FROM store.head WHERE one FOR UPDATE")
            await session.execute(STAGING)
            await session.execute(STAGING_COMMANDS)
            read = 0
            async for events in _all_events(log, contract.topic):
                read += len(events)
                await _check_known(session, [each for each, _ in events if each.position <= before])
                await _stage(session, [one for one in events if one[0].position > before])
            return await _append(session, contract.topic, before, read, accept_loss=accept_loss)
    finally:
        await session.close()


async def _all_events(log: Log, topic: str) -> AsyncIterator[list[Event]]:
    """Every event of the topic with its command, in batches, each partition in its order."""
    bounds = await log.bounds(topic)
    if first := {partition: held for partition, (held, _) in bounds.items() if held}:
        raise RecoveryRefusedError(f"the log no longer has its beginning: partition → first offset {first}")
    ahead = {(topic, partition): after for partition, (_, after) in bounds.items() if after}
    for where in list(ahead):  # markers of transactions may follow the last record, and nobody is ever given these
        last = await log.last_record(*where)
        if last is None:
            del ahead[where]
        else:
            ahead[where] = last.offset + 1
    consumer = await log.consumer()
    try:
        await consumer.assign(dict.fromkeys(ahead, 0))
        while ahead:
            records = await _fetch(consumer, ahead)
            for record in records:
                if record.offset + 1 >= ahead.get((topic, record.partition), 0):
                    ahead.pop((topic, record.partition), None)
            try:
                envelopes = [decode_record(record)[0] for record in records]
                pairs = zip(envelopes, records, strict=True)
                yield [(envelope, decode_command(record, envelope.position)) for envelope, record in pairs]
            except BadRecordError as problem:
                raise RecoveryRefusedError(f"somebody else writes to {topic}: {problem}") from problem
    finally:
        await consumer.close()


async def _fetch(consumer: LogConsumer, ahead: Mapping[tuple[str, int], int]) -> list[LogRecord]:
    """Never empty: what was not read must not be taken for what was never published. `ahead`: where there is more to come."""
    for _ in range(FETCHES):
        if records := await consumer.fetch(BATCH, FETCH_SECONDS):
            return records
    missing = ", ".join(f"{topic}/{partition}" for topic, partition in ahead)
    raise LogUnavailableError(
        f"the log gave nothing in {FETCHES} × {FETCH_SECONDS:.0f} s and is not read to its end ({missing}); "
        "nothing was changed: recover again when it answers"
    )


async def _check_known(session: "asyncpg.Connection[Any]", envelopes: Sequence[Envelope]) -> None:
    rows = await session.fetch(
        "SELECT position, event_id FROM store.event WHERE position = ANY($1::bigint[])",
        [envelope.position for envelope in envelopes],
    )
    stored = {row["position"]: row["event_id"] for row in rows}
    for envelope in sorted(envelopes, key=lambda each: each.position):
        if stored.get(envelope.position) != envelope.event_id:
            raise RecoveryRefusedError(
                f"at position {envelope.position} the log has event {envelope.event_id} and the store "
                f"{stored.get(envelope.position)}: the store has gone on by itself after it was restored. "
                "Restore it again, to a moment before that"
            )


async def _stage(session: "asyncpg.Connection[Any]", events: Sequence[Event]) -> None:
    await session.copy_records_to_table(
        "recovered_command",
        records=[
            (
                command.command_id, command.input_hash, orjson.dumps(command.answer).decode(),
                orjson.dumps(dict(command.versions)).decode(), command.first, command.last, envelope.recorded_at,
            )
            for envelope, command in events if command is not None
        ],
    )  # fmt: skip
    await session.copy_records_to_table(
        "recovered",
        columns=COLUMNS,
        records=[
            (
                each.position, each.event_id, each.stream_id, each.version, each.type_name, each.type_version,
                each.data.decode(), each.occurred_at, each.recorded_at, each.actor, each.correlation_id,
                each.causation_id, each.traceparent,
            )
            for each, _ in events
        ],
    )  # fmt: skip


async def _append(
    session: "asyncpg.Connection[Any]", topic: str, before: int, read: int, *, accept_loss: bool
) -> RecoveryReport:
    after = await session.fetchval(LAST_POSITION, before)
    await session.execute("CREATE INDEX ON recovered (position)")
    await session.execute("ANALYZE recovered")
    twice = await session.fetchval(
        "SELECT position FROM recovered GROUP BY position HAVING count(DISTINCT event_id) > 1 ORDER BY 1 LIMIT 1"
    )
    if twice is not None:
        raise RecoveryRefusedError(f"the log holds different events at position {twice}: two histories were published")
    lost = tuple(row["p"] for row in await session.fetch(UNKNOWN_POSITIONS, before, after))
    if lost and not accept_loss:
        named = ", ".join(str(position) for position in lost[:NAMED_POSITIONS])
        raise RecoveryRefusedError(
            f"{len(lost)} events were never published and are lost, positions {named}"
            f"{' …' if len(lost) > NAMED_POSITIONS else ''}. Restore the store to a later moment, or accept the loss"
        )
    if lost:
        await session.execute(FILL, lost, LOST_TYPE)
    await session.execute(APPEND)
    commands = int((await session.execute(APPEND_COMMANDS, LOST_TYPE)).split()[-1])
    if after > before:
        await session.execute(
            "UPDATE store.head SET position = $1, recorded_at = greatest(recorded_at, (SELECT max(recorded_at) "
            "FROM recovered)) WHERE one",
            after,
        )
    return RecoveryReport(topic, before, after, read, lost, commands)
