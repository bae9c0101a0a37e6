"""Figures for Prometheus: requests by route, and what lags behind."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One registry per process form; every figure carries the service's name."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        labels = ("service", "method", "route")
        self._service = service
        self._requests = Counter(
            "keyfold_http_requests",
            "Requests answered, by route and status.",
            (*labels, "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "keyfold_http_request_seconds", "Seconds until the answer.", labels, buckets=BUCKETS, registry=self.registry
        )
        self.head = Gauge("keyfold_store_head", "Position of the last event.", ("service",), registry=self.registry)
        self.lag = Gauge(
            "keyfold_reader_lag_records", "Records of the log that a reader has still to take.",
            ("service", "reader", "topic"), registry=self.registry,
        )  # fmt: skip
        self.lag_seconds = Gauge(
            "keyfold_reader_lag_seconds", "Age of the newest record that a reader has still to take.",
            ("service", "reader", "topic"), registry=self.registry,
        )  # fmt: skip
        self.parked = Gauge(
            "keyfold_reader_parked_events", "Events of parked streams.", ("service", "reader"), registry=self.registry
        )
        self.alarms = Gauge(
            "keyfold_reader_alarms", "Partitions that stand still.", ("service", "reader"), registry=self.registry
        )
        self.workers = Gauge("keyfold_workers", "Workers whose heart beats.", ("service",), registry=self.registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(self._service, method, route, str(status)).inc()
        self._seconds.labels(self._service, method, route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
