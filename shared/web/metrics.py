"""What is told to Prometheus: requests by route, and how far everything behind them is."""

from prometheus_client import Gauge

from shared.kit.figures import Figures


class Metrics:
    """Figures that are filled at the edge. Gauges of what the databases tell are set when figures are asked for."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures
        labels = ("method", "route")
        self._requests = figures.counter(
            "keyfold_http_requests", "Requests answered, by route and status.", *labels, "status"
        )
        self._seconds = figures.histogram("keyfold_http_request_seconds", "Seconds until the answer.", *labels)
        self._problems = figures.counter(
            "keyfold_http_problems", "Problems answered, by code: refused tokens, a busy store, what is not yet visible.",
            "code",
        )  # fmt: skip
        self.database = figures.gauge("keyfold_database_up", "1 when the service's database answers.")
        self.log = figures.gauge("keyfold_log_up", "1 when the log answers.")
        self.head = figures.gauge("keyfold_store_head", "Position of the last event.")
        self.workers = figures.gauge("keyfold_workers", "Workers whose heart beats.")
        self.relay_lag = figures.gauge("keyfold_relay_lag_events", "Events that are not published yet.")
        self.relay_lag_seconds = figures.gauge(
            "keyfold_relay_lag_seconds", "Age of the oldest event that is not published yet."
        )
        reader = ("reader", "state", "topic")
        self.lag = figures.gauge(
            "keyfold_reader_lag_records", "Records of the log that a reader has still to take.", *reader
        )
        self.lag_seconds = figures.gauge(
            "keyfold_reader_lag_seconds", "Age of the oldest record that a reader has still to take.", *reader
        )
        self.parked = figures.gauge("keyfold_reader_parked_events", "Events of parked streams.", "reader")
        self.alarms = figures.gauge("keyfold_reader_alarms", "Why a reader stands still, one for each cause.", "reader")
        self.due_waiting = figures.gauge("keyfold_due_waiting", "Due dates that are not carried out, due or not.")
        self.due_failing = figures.gauge(
            "keyfold_due_failing", "Due dates that failed at least once and are tried again."
        )
        self.due_late_seconds = figures.gauge(
            "keyfold_due_late_seconds", "How long the oldest due date that is not carried out has been due."
        )

    @property
    def by_database(self) -> tuple[Gauge, ...]:
        return (
            self.head, self.workers, self.relay_lag, self.relay_lag_seconds,
            self.due_waiting, self.due_failing, self.due_late_seconds,
        )  # fmt: skip

    @property
    def by_reader(self) -> tuple[Gauge, ...]:
        return self.lag, self.lag_seconds, self.parked, self.alarms

    def observe(self, method: str, route: str, status: int, seconds: float, problem: str | None = None) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        if problem is not None:
            self._problems.labels(problem).inc()
