"""An event on the log: CloudEvents 1.0, Kafka protocol binding, binary mode. The value is the event's data as JSON.

Standard attributes are `ce_id` (event id), `ce_type` (type name), `ce_source` (/keyfold/<service>), `ce_subject` (stream id)
and `ce_time` (occurred_at). The rest of the envelope travels in extension attributes `ce_keyfold…`, whose names may have
lower-case letters only. `ce_keyfoldprevious` is the position of the event before this one in the same partition, 0 for the
first: the chain by which a reader knows that it has missed nothing. `traceparent` is the plain W3C header.
"""

from datetime import UTC, datetime
from uuid import UUID

from shared.contracts.event import Envelope
from shared.log.port import LogRecord, NewRecord

CONTENT_TYPE = "application/json"
COMMAND = "ce_keyfoldcommand"


class BadRecordError(ValueError):
    """A record of the log is not one of our events: an attribute is missing or malformed. Says which record and why."""


def encode_record(
    envelope: Envelope, *, service: str, topic: str, partition: int, previous: int, command: str | None = None
) -> NewRecord:
    """`previous` is the position of the event before this one in the same partition, 0 if there is none. `command`: on the first
    event of a command that may be given again, what a recovered store must know of it.
    """
    headers = {
        "ce_specversion": "1.0",
        "ce_id": str(envelope.event_id),
        "ce_type": envelope.type_name,
        "ce_source": f"/keyfold/{service}",
        "ce_subject": envelope.stream_id,
        "ce_time": _time(envelope.occurred_at),
        "content-type": CONTENT_TYPE,
        "ce_keyfoldversion": str(envelope.version),
        "ce_keyfoldtypeversion": str(envelope.type_version),
        "ce_keyfoldposition": str(envelope.position),
        "ce_keyfoldprevious": str(previous),
        "ce_keyfoldrecordedat": _time(envelope.recorded_at),
        "ce_keyfoldactor": envelope.actor,
        "ce_keyfoldcorrelationid": str(envelope.correlation_id),
    }
    if envelope.causation_id is not None:
        headers["ce_keyfoldcausationid"] = str(envelope.causation_id)
    if envelope.traceparent is not None:
        headers["traceparent"] = envelope.traceparent
    if command is not None:
        headers[COMMAND] = command
    return NewRecord(topic, partition, envelope.stream_id, envelope.data, headers)


def decode_record(record: LogRecord) -> tuple[Envelope, int]:
    """The envelope and the previous position of its partition. Raises BadRecordError."""
    headers = record.headers
    try:
        causation = headers.get("ce_keyfoldcausationid")
        envelope = Envelope(
            position=int(headers["ce_keyfoldposition"]),
            event_id=UUID(headers["ce_id"]),
            stream_id=headers["ce_subject"],
            version=int(headers["ce_keyfoldversion"]),
            type_name=headers["ce_type"],
            type_version=int(headers["ce_keyfoldtypeversion"]),
            data=record.value,
            occurred_at=datetime.fromisoformat(headers["ce_time"]),
            recorded_at=datetime.fromisoformat(headers["ce_keyfoldrecordedat"]),
            actor=headers["ce_keyfoldactor"],
            correlation_id=UUID(headers["ce_keyfoldcorrelationid"]),
            causation_id=UUID(causation) if causation else None,
            traceparent=headers.get("traceparent"),
        )
        return envelope, int(headers["ce_keyfoldprevious"])
    except KeyError as missing:
        raise BadRecordError(f"{_where(record)} has no header {missing.args[0]}") from None
    except ValueError as problem:
        raise BadRecordError(f"{_where(record)}: {problem}") from problem


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _where(record: LogRecord) -> str:
    return f"record {record.topic}/{record.partition}@{record.offset}"
