"""Figures of a service for Prometheus. Whoever does the work is handed the `Figures` of its process and counts there; they are
read when `/metrics` is asked for.

Names follow Prometheus: base units, counters end in `_total`. Every figure has the label `service`; other labels name what the
code names (routes, readers, rules), never what callers send.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)

F = TypeVar("F", Counter, Gauge, Histogram)


class Figures:
    """Those of one service in one process, and of the process itself. Asked twice for a name, it gives the same figure."""

    def __init__(self, service: str = "") -> None:
        self._service = service
        self._registry = CollectorRegistry()
        self._known: dict[str, Counter | Gauge | Histogram] = {}
        ProcessCollector(registry=self._registry)

    def counter(self, name: str, about: str, *labels: str) -> Counter:
        """`name` without `_total`, which is added."""
        return self._made(Counter, name, about, labels)

    def gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return self._made(Gauge, name, about, labels)

    def histogram(self, name: str, about: str, *labels: str, buckets: Sequence[float] = SECONDS) -> Histogram:
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = Histogram(name, about, labels, buckets=buckets, registry=self._registry)
        assert isinstance(found, Histogram)  # noqa: S101 - a name has one kind
        return found

    def _made(self, kind: type[F], name: str, about: str, labels: Sequence[str]) -> F:
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = kind(name, about, labels, registry=self._registry)
        assert isinstance(found, kind)  # noqa: S101 - a name has one kind
        return found

    def collect(self) -> Iterable[Metric]:
        """What was counted, each sample with the service's name: adding it here costs nothing where the counting is done."""
        for metric in self._registry.collect():
            metric.samples = [
                sample._replace(labels={"service": self._service, **sample.labels}) for sample in metric.samples
            ]
            yield metric

    def text(self) -> bytes:
        """In the format of Prometheus."""
        return generate_latest(self)
