"""Which waiting requests go together into one append statement, and its arguments."""

from collections import deque
from typing import Any, Protocol, TypeVar

from shared.eventstore.entry import Entry

MOST_REQUESTS = 256
MOST_EVENTS = 2_000
MOST_BYTES = 4 * 1024 * 1024


class Queued(Protocol):
    @property
    def entry(self) -> Entry: ...

    @property
    def answered(self) -> Any: ...


Q = TypeVar("Q", bound=Queued)
Batch = list[Q]
Rows = list[tuple[Any, ...]]


def choose(queue: deque[Q]) -> Batch[Q]:
    """Take from the front of the queue requests that do not depend on each other; those left keep their
    order.

    A request that names a stream which an earlier one of the batch writes, or has the same command id,
    waits for the next round: by then it is known whether the earlier one succeeded. Requests that nobody
    waits for any more are dropped.
    """
    batch: Batch[Q] = []
    left: list[Q] = []
    written: set[str] = set()
    commands: set[str] = set()
    events = size = 0
    while queue and len(batch) < MOST_REQUESTS and len(left) < MOST_REQUESTS:
        waiting = queue.popleft()
        if waiting.answered.done():
            continue
        entry = waiting.entry
        if batch and (events + len(entry.data) > MOST_EVENTS or size + entry.size > MOST_BYTES):
            left.append(waiting)
            break
        if entry.command_id in commands or not written.isdisjoint(entry.request.expected):
            left.append(waiting)
            continue
        batch.append(waiting)
        written.update(entry.written)
        if entry.command_id is not None:
            commands.add(entry.command_id)
        events += len(entry.data)
        size += entry.size
    queue.extendleft(reversed(left))
    return batch


def arguments(entries: list[Entry]) -> tuple[Rows, Rows, Rows]:
    """What `store.append_2` takes: rows of assertions, of events, and a row for each command."""
    assertions: Rows = []
    events: Rows = []
    commands: Rows = []
    for item, entry in enumerate(entries, 1):
        request, command = entry.request, entry.request.command
        for stream_id, version in request.expected.items():
            assertions.append((item, stream_id, version))
        for pending, data, version in zip(request.events, entry.data, entry.versions, strict=True):
            events.append(
                (
                    item,
                    pending.stream_id,
                    version,
                    pending.event_id,
                    pending.event.type_name,
                    pending.event.type_version,
                    data,
                    pending.occurred_at,
                    request.actor,
                    request.correlation_id,
                    request.causation_id,
                    request.traceparent,
                )
            )
        recorded: tuple[Any, ...] = (None,) * 4
        if command is not None:
            recorded = (command.command_id, command.input_hash, entry.answer, entry.answer_versions)
        commands.append((item, *recorded, len(entry.data)))
    return assertions, events, commands
