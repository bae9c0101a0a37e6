"""What the event store takes and gives.

The errors are dataclasses that are not frozen: Python itself writes to an exception (`__traceback__`) on
its way up.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.contracts.event import Event

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pending:
    """An event that is about to be appended."""

    stream_id: str
    event: Event
    occurred_at: datetime
    event_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """What is kept of a command for ever: its id, a keyed hash of its input, the answer that it got,
    with the versions of its streams and (given by the store) its positions, 0 when it wrote nothing.
    """

    command_id: str
    input_hash: bytes
    answer: JsonObject
    versions: Mapping[str, int] = field(default_factory=dict)
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """Events to be appended together or not at all.

    `expected` maps a stream to the version it must have *before* the append (0: must not exist). Every
    stream that is written is named there; a stream that is named but not written is only asserted. `epoch`: that of the store
    when what this rests on was read; None when it rests on versions alone.
    """

    events: tuple[Pending, ...]
    expected: Mapping[str, int]
    actor: str
    correlation_id: uuid.UUID
    causation_id: uuid.UUID | None = None
    traceparent: str | None = None
    command: CommandRecord | None = None
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What a process knows to have been in the store: everything up to `head`, and the event that it appended last."""

    head: int = 0
    position: int = 0
    event_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """`first`/`last` position (0 and 0 when nothing was written), the new version of each written stream."""

    first: int
    last: int
    versions: Mapping[str, int]
    recorded_at: datetime


@dataclass(eq=False)
class VersionConflictError(Exception):
    """A stream is not at the asserted version; `actual` holds the true version of each that differs."""

    actual: Mapping[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class CommandSeenError(Exception):
    """The command id is on record already: `record` is what was answered then."""

    record: CommandRecord


@dataclass(eq=False)
class StaleVersionError(Exception):
    """`If-Match` asked for version `expected` of the stream, which is at `actual` (HTTP 412)."""

    expected: int
    actual: int
    stream_id: str = ""


@dataclass(eq=False)
class IdempotencyMismatchError(Exception):
    """The command id was used before, with another input (HTTP 422)."""

    command_id: str = ""


class StoreBusyError(Exception):
    """The appender's queue is full: nothing was written, try again shortly (HTTP 503 with Retry-After)."""


class AppendsRefusedError(Exception):
    """Nothing may be appended now, for the history might fork: the store has not been seen to agree with its log since it was
    restored, failed over or restarted. The message says what is known, and what to do (HTTP 503)."""


class EventTooLargeError(ValueError):
    """An event's data exceed 256 KiB."""
