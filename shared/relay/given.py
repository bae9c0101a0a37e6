"""Commands that may be given again travel with their first event, so that a recovered store answers a retry as before.

The header is `{"id", "input", "answer", "versions", "events"}`: the id, the keyed hash of the input in hexadecimal, what was
answered, the version of each stream then, and how many events followed. None of it tells more than the events do; who does not
have the key of the hash learns nothing of the input.
"""

from collections.abc import Mapping

import orjson

from shared.eventstore.types import CommandRecord
from shared.log.cloudevents import COMMAND, BadRecordError
from shared.log.port import LogRecord

LARGEST = 64 * 1024  # bytes of a header; an answer beyond that stays at home


def encode_command(command: CommandRecord) -> str | None:
    """None when it is too large to travel."""
    content = {
        "id": command.command_id,
        "input": command.input_hash.hex(),
        "answer": command.answer,
        "versions": dict(command.versions),
        "events": command.last - command.first + 1,
    }
    text = orjson.dumps(content)
    return text.decode() if len(text) <= LARGEST else None


def decode_command(record: LogRecord, position: int) -> CommandRecord | None:
    """That of the event at this position, if it is the first of such a command. Raises BadRecordError."""
    text = record.headers.get(COMMAND)
    if text is None:
        return None
    try:
        content: Mapping[str, object] = orjson.loads(text)
        return CommandRecord(
            str(content["id"]),
            bytes.fromhex(str(content["input"])),
            dict(content["answer"]),  # type: ignore[call-overload]
            dict(content["versions"]),  # type: ignore[call-overload]
            position,
            position + int(str(content["events"])) - 1,
        )
    except (ValueError, KeyError, TypeError) as problem:
        raise BadRecordError(
            f"the command of record {record.topic}/{record.partition}@{record.offset}: {problem!r}"
        ) from None
