"""From rows of the store to envelopes, recorded events and command records."""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.contracts.event import Contract, Envelope, Event, Recorded
from shared.eventstore.types import CommandRecord

COLUMNS = (
    "position, event_id, stream_id, version, type_name, type_version, data::text AS data, occurred_at, "
    "recorded_at, actor, correlation_id, causation_id, traceparent"
)
STREAM = f"SELECT {COLUMNS} FROM store.event WHERE stream_id = $1 AND version > $2 ORDER BY version"  # noqa: S608
ENVELOPES = f"SELECT {COLUMNS} FROM store.event WHERE position > $1 ORDER BY position LIMIT $2"  # noqa: S608
COMMANDS = """
SELECT command_id, input_hash, answer::text AS answer, versions::text AS versions,
       first_position, last_position
FROM store.command WHERE command_id = ANY ($1::text[])
"""
GIVEN = """
SELECT command_id, input_hash, answer::text AS answer, versions::text AS versions,
       first_position, last_position
FROM store.command
WHERE first_position BETWEEN $1 AND $2 AND first_position > 0 AND command_id LIKE '%/%'
"""
VERSIONS = """
SELECT s.id, coalesce((
    SELECT e.version FROM store.event e WHERE e.stream_id = s.id ORDER BY e.version DESC LIMIT 1
), 0) AS version
FROM unnest($1::text[]) AS s (id)
"""


def envelope_of(row: Mapping[str, Any]) -> Envelope:
    return Envelope(
        row["position"],
        row["event_id"],
        row["stream_id"],
        row["version"],
        row["type_name"],
        row["type_version"],
        row["data"].encode(),
        row["occurred_at"],
        row["recorded_at"],
        row["actor"],
        row["correlation_id"],
        row["causation_id"],
        row["traceparent"],
    )


def recorded_of(contract: Contract, row: Mapping[str, Any]) -> Recorded[Event]:
    """Upcast to today's class. Errors as `Contract.decode`."""
    return contract.open(envelope_of(row))


def command_of(row: Mapping[str, Any]) -> CommandRecord:
    return CommandRecord(
        row["command_id"],
        row["input_hash"],
        orjson.loads(row["answer"]),
        orjson.loads(row["versions"]),
        row["first_position"],
        row["last_position"],
    )
