"""Spans of a process, for whoever collects them by OTLP. Off unless OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) is set.

A span belongs to the trace of a `traceparent`, which requests bring and events keep; so one trace follows a fact through every
process. A parent that is not sampled has no spans. Attributes name what the code names, never people or what they sent.
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias

import structlog
from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from prometheus_client import Counter

from shared.kit.figures import Figures
from shared.kit.settings import SettingsError
from shared.kit.trace import Trace, parse_traceparent

Attributes: TypeAlias = Mapping[str, str | int | float | bool]
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
QUEUE = 2_048  # spans that wait to be sent, as the standard has it
STOP_SECONDS = 3.0
log = structlog.get_logger(__name__)

__all__ = ["Attributes", "Span", "SpanKind", "Tracing", "opened_tracing"]


class Span:
    """A span under way. `traceparent` is what is handed on."""

    def __init__(self, span: otel.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.recorded = span.is_recording()
        self.trace = Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}", "01" if self.recorded else "00")

    @property
    def traceparent(self) -> str:
        return self.trace.traceparent

    def name(self, name: str) -> None:
        self._span.update_name(name)

    def tell(self, **attributes: str | int | float | bool) -> None:
        """Attributes, with `__` for a dot."""
        for name, value in attributes.items():
            self._span.set_attribute(name.replace("__", "."), value)

    def failed(self, what: str) -> None:
        """`what`: the name of an error, never its words."""
        self._span.set_attribute("error.type", what)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        self._span.end()


class Tracing:
    """Without a tracer: off, and nothing is made."""

    def __init__(self, tracer: otel.Tracer | None = None) -> None:
        self._tracer = tracer
        self._dropped: list[Counter] = []

    def count_in(self, figures: Figures) -> None:
        """Where spans that are dropped are counted."""
        counter = figures.counter(
            "keyfold_trace_spans_dropped", "Spans that could not be sent: no collector, or too many of them."
        )
        if self._tracer is not None:
            self._dropped.append(counter)

    def drop(self, spans: int) -> None:
        for counter in self._dropped:
            counter.inc(spans)

    @property
    def on(self) -> bool:
        return self._tracer is not None

    def begin(self, name: str, traceparent: str | None, kind: SpanKind, attributes: Attributes) -> Span | None:
        """A span in the caller's trace, or the first of a new one; the sampler decides. None when off."""
        if self._tracer is None:
            return None
        return Span(self._tracer.start_span(name, _parent(traceparent), kind, dict(attributes)))

    def child(
        self, name: str, traceparent: str | None, kind: SpanKind, attributes: Attributes, began: int | None = None
    ) -> Span | None:
        """A span below a sampled parent, else None. `began`: Unix time in nanoseconds, now if None."""
        if self._tracer is None or not sampled(traceparent):
            return None
        return Span(self._tracer.start_span(name, _parent(traceparent), kind, dict(attributes), start_time=began))

    @contextmanager
    def within(
        self,
        name: str,
        traceparent: str | None,
        attributes: Attributes,
        kind: SpanKind = SpanKind.INTERNAL,
        expected: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> Iterator[Span | None]:
        """As `child`; it ends with the block, as failed when the block raises anything but what is `expected`."""
        span = self.child(name, traceparent, kind, attributes)
        if span is None:
            yield None
            return
        try:
            yield span
        except BaseException as error:
            if not isinstance(error, expected):
                span.failed(type(error).__name__)
            raise
        finally:
            span.end()


OFF = Tracing()


def sampled(traceparent: str | None) -> bool:
    return traceparent is not None and traceparent.endswith(("1", "3", "5", "7", "9", "b", "d", "f"))


def unsampled(traceparent: str | None) -> str | None:
    """The same trace, of which nobody makes spans from here on."""
    return None if traceparent is None else f"{traceparent[:-2]}00"


def _parent(traceparent: str | None) -> Context:
    parent = parse_traceparent(traceparent)
    if parent is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if sampled(parent.traceparent) else TraceFlags.DEFAULT)
    context = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
    return otel.set_span_in_context(NonRecordingSpan(context), Context())


@asynccontextmanager
async def opened_tracing(name: str) -> AsyncIterator[Tracing]:
    """Of a process called `name` (OTEL_SERVICE_NAME goes before it); on when the environment names a collector. On leaving, what
    waits is sent, for three seconds at most. Raises SettingsError.
    """
    if not any(os.environ.get(variable) for variable in ENDPOINTS) or _disabled():
        yield OFF
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    for library in ("opentelemetry.exporter", "opentelemetry.sdk", "urllib3"):  # we tell it, once
        logging.getLogger(library).setLevel(logging.CRITICAL)
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if named else {"service.name": name}), shutdown_on_exit=False)
    tracing = Tracing(provider.get_tracer("keyfold"))
    try:
        processor = BoundedProcessor(OTLPSpanExporter(), tracing.drop)
    except SettingsError:
        raise
    except (
        ValueError
    ) as fault:  # the libraries read their variables themselves, and say of some only that they are wrong
        raise SettingsError(f"a variable of OpenTelemetry (OTEL_…) is wrong: {fault}") from fault
    provider.add_span_processor(processor)
    try:
        yield tracing
    finally:
        # Retries of an exporter whose collector is away must not hold the process up.
        ending = threading.Thread(target=provider.shutdown, name="send the last spans", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, STOP_SECONDS)


def _disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"


def _room() -> int:
    """Spans that may wait. Raises SettingsError."""
    text = os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE) or str(QUEUE)
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"{OTEL_BSP_MAX_QUEUE_SIZE}: {text!r} is no number of spans, 1 or more")
    return int(text)


class BoundedProcessor(BatchSpanProcessor):
    """Sends in a thread of its own. What does not fit into the queue, and what the collector does not take, is dropped,
    counted, and told once, until the next is sent.
    """

    def __init__(self, exporter: SpanExporter, drop: Callable[[int], None]) -> None:
        self._room = _room()
        self._waiting = 0
        self._told = False
        self._lock = threading.Lock()
        self._drop = drop
        super().__init__(_Settling(exporter, self._settled))

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._lock:
            full = self._waiting >= self._room
            if not full:
                self._waiting += 1
        if full:
            self._lost(1, "the queue is full")
        else:
            super().on_end(span)

    def _settled(self, spans: int, sent: bool) -> None:
        with self._lock:
            self._waiting -= spans
        if sent:
            self._told = False
        else:
            self._lost(spans, "the collector does not take them")

    def _lost(self, spans: int, why: str) -> None:
        self._drop(spans)
        if not self._told:
            self._told = True
            log.warning("spans are dropped", reason=why)


class _Settling(SpanExporter):
    """Tells what became of each batch."""

    def __init__(self, exporter: SpanExporter, settled: Callable[[int, bool], None]) -> None:
        self._exporter = exporter
        self._settled = settled

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._settled(len(spans), result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
