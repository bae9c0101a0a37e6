"""A span for each event that a reader applied, in the trace of the request that led to the event."""

from collections.abc import Iterable
from datetime import UTC, datetime

from shared.contracts.event import Envelope
from shared.kit.tracing import Attributes, SpanKind, Tracing, sampled
from shared.relay.partition import partition_of
from shared.relay.relay import RECENT


def traced(tracing: Tracing, envelope: Envelope) -> bool:
    """Is there to be a span for this event?"""
    return tracing.on and sampled(envelope.traceparent) and datetime.now(UTC) - envelope.recorded_at < RECENT


def about(reader: str, topic: str, envelope: Envelope) -> Attributes:
    return {
        "messaging.system": "keyfold",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition_of(envelope.stream_id)),
        "messaging.consumer.group.name": reader,
        "keyfold.event_type": envelope.type_name,
        "keyfold.position": envelope.position,
        "keyfold.lag_seconds": round((datetime.now(UTC) - envelope.recorded_at).total_seconds(), 3),
    }


def folded(tracing: Tracing, reader: str, applied: Iterable[tuple[str, Envelope]], began: int) -> None:
    """The (topic, event) pairs of a batch that were folded together since `began` (Unix time in nanoseconds)."""
    if not tracing.on:
        return
    for topic, envelope in applied:
        if traced(tracing, envelope):
            attributes = about(reader, topic, envelope)
            span = tracing.child(f"fold {reader}", envelope.traceparent, SpanKind.CONSUMER, attributes, began)
            if span is not None:
                span.end()
