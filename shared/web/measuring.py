"""Bringing gauges up to date when figures are asked for: from the database, the log, and the service's own read models."""

import asyncio

import structlog

from shared.log.port import UnknownTopicError
from shared.projections.follower import reader_name
from shared.projections.lag import lag, workers
from shared.relay.lag import relay_lag
from shared.scheduler.due import due_status
from shared.service.backend import Backend
from shared.web.metrics import Metrics
from shared.web.problems import problem_of

LOG_SECONDS = 5.0  # Prometheus waits for ten
log = structlog.get_logger(__name__)


async def measure(metrics: Metrics, backend: Backend) -> None:
    """What cannot be reached has no value, and `keyfold_database_up` or `keyfold_log_up` says 0."""
    metrics.database.set(0)
    metrics.log.set(0)
    for gauge in metrics.by_reader:
        gauge.clear()  # generations that are gone, and what cannot be known now
    try:
        await _database(metrics, backend)
        metrics.database.set(1)
        async with asyncio.timeout(LOG_SECONDS):
            await _readers(metrics, backend)
        metrics.log.set(1)
    except Exception as error:
        if problem_of(error) is None and not isinstance(error, UnknownTopicError | TimeoutError):
            raise
        log.warning(
            "figures are not up to date", service=backend.service.name, error=f"{type(error).__name__}: {error}"
        )


async def _database(metrics: Metrics, backend: Backend) -> None:
    relay = await relay_lag(backend.engine, backend.service.contract.topic)
    metrics.head.set(relay.head)
    metrics.relay_lag.set(relay.events)
    metrics.relay_lag_seconds.set(relay.seconds)
    metrics.workers.set(len(await workers(backend.engine)))
    now = backend.clock.now()
    async with backend.engine.connect() as connection:
        due = await due_status(connection, now)
    metrics.due_waiting.set(due.waiting)
    metrics.due_failing.set(due.failing)
    late = (now - due.next_due_at).total_seconds() if due.next_due_at is not None else 0.0
    metrics.due_late_seconds.set(max(0.0, late))
    for one in backend.service.gauges:
        async with backend.reads.connect(one.projection) as connection:
            metrics.figures.gauge(one.name, one.about).set(await one.read(connection))


async def _readers(metrics: Metrics, backend: Backend) -> None:
    await backend.log.partitions(backend.service.contract.topic)  # it answers, also where nothing was read yet
    for one in await lag(backend.engine, backend.log):
        reader = reader_name(one.reader, one.generation)
        if one.records is not None and one.seconds is not None:
            metrics.lag.labels(reader, one.state, one.topic).set(one.records)
            metrics.lag_seconds.labels(reader, one.state, one.topic).set(one.seconds)
        metrics.parked.labels(reader).set(one.parked)
        metrics.alarms.labels(reader).inc(len(one.alarms))  # of all its topics
