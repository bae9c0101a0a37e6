"""A request checked and turned into what the database takes."""

from dataclasses import dataclass

import orjson

from shared.contracts.event import Contract, encode
from shared.eventstore.types import AppendRequest, EventTooLargeError, Pending

LARGEST_EVENT = 256 * 1024  # bytes of JSON


@dataclass(frozen=True, slots=True)
class Entry:
    """`data` and `versions`: per event its JSON and its version in its stream; `written`: stream → version
    afterwards.

    `answer` and `answer_versions` are the command's, as JSON text. `size` is what it weighs in a statement,
    in bytes.
    """

    request: AppendRequest
    data: tuple[str, ...]
    versions: tuple[int, ...]
    written: dict[str, int]
    answer: str
    answer_versions: str
    size: int

    @property
    def command_id(self) -> str | None:
        return None if self.request.command is None else self.request.command.command_id


def prepare(contract: Contract, request: AppendRequest) -> Entry:
    """Raises EventTooLargeError; ValueError for a request that could never be appended, whatever is in
    the store.
    """
    at = dict(request.expected)
    written: dict[str, int] = {}
    data: list[str] = []
    versions: list[int] = []
    size = 0
    for pending in request.events:
        if pending.stream_id not in at:
            raise ValueError(f"{pending.stream_id} is written, but `expected` does not say at which version it is")
        text = _data(contract, pending)
        at[pending.stream_id] += 1
        written[pending.stream_id] = at[pending.stream_id]
        data.append(text)
        versions.append(at[pending.stream_id])
        size += len(text)
    answer, answer_versions = "", ""
    if request.command is not None:
        answer = orjson.dumps(request.command.answer).decode()
        answer_versions = orjson.dumps(dict(request.command.versions)).decode()
    size += len(answer)
    return Entry(request, tuple(data), tuple(versions), written, answer, answer_versions, size)


def _data(contract: Contract, pending: Pending) -> str:
    event = pending.event
    if contract.events.get(getattr(event, "type_name", "")) is not type(event):
        raise ValueError(f"{type(event).__name__} is no event of {contract.service}: nobody could read it again")
    if pending.occurred_at.tzinfo is None:
        raise ValueError(f"occurred_at {pending.occurred_at.isoformat()} has no time zone")
    data = encode(event)
    if len(data) > LARGEST_EVENT:
        raise EventTooLargeError(
            f"the data of {event.type_name} are {len(data)} bytes; at most {LARGEST_EVENT} are allowed"
        )
    return data.decode()
