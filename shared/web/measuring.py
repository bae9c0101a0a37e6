"""Bringing gauges up to date when figures are asked for: from the database, the log, and the service's own read models."""

import asyncio
import math
from collections.abc import Awaitable

import structlog

from shared.log.port import Log, OffsetOutOfRangeError, UnknownTopicError
from shared.projections.follower import reader_name
from shared.projections.lag import lag, workers
from shared.relay.lag import relay_lag
from shared.scheduler.due import due_status
from shared.service.backend import Backend
from shared.service.definition import ReadGauge
from shared.web.metrics import Metrics
from shared.web.problems import problem_of

LOG_SECONDS = 4.0  # for each of two questions: Prometheus waits for ten
log = structlog.get_logger(__name__)


async def measure(metrics: Metrics, backend: Backend) -> None:
    """`keyfold_database_up` and `keyfold_log_up` tell what can be reached now; figures of what cannot have no value: NaN, or no
    sample."""
    database = await _reached(backend, _database(metrics, backend))
    metrics.database.set(database)
    if not database:
        metrics.log.set(0)  # not asked: embedded, it is in the database
        for one in (*metrics.by_database, *(metrics.figures.gauge(g.name, g.about) for g in backend.service.gauges)):
            one.set(math.nan)
        for gauge in metrics.by_reader:
            gauge.clear()
        return
    for own in backend.service.gauges:
        await _reached(backend, _gauge(metrics, backend, own))
    there = await _reached(backend, _partitions(backend))
    metrics.log.set(there)
    await _reached(backend, _readers(metrics, backend, backend.log if there else None))


async def _reached(backend: Backend, figures: Awaitable[None]) -> bool:
    """Whether they could be brought up to date."""
    try:
        await figures
    except Exception as error:
        if problem_of(error) is None and not isinstance(
            error, UnknownTopicError | OffsetOutOfRangeError | TimeoutError
        ):
            raise
        log.warning(
            "figures are not up to date", service=backend.service.name, error=f"{type(error).__name__}: {error}"
        )
        return False
    return True


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


async def _gauge(metrics: Metrics, backend: Backend, one: ReadGauge) -> None:
    async with backend.reads.connect(one.projection) as connection:
        metrics.figures.gauge(one.name, one.about).set(await one.read(connection))


async def _partitions(backend: Backend) -> None:
    """The log answers, also where nothing was read yet."""
    async with asyncio.timeout(LOG_SECONDS):
        await backend.log.partitions(backend.service.contract.topic)


async def _readers(metrics: Metrics, backend: Backend, asked: Log | None) -> None:
    """Alarms and parked events are known without a log, too."""
    async with asyncio.timeout(LOG_SECONDS):
        found = await lag(backend.engine, asked)
    for gauge in metrics.by_reader:
        gauge.clear()  # generations that are gone; not before the new figures are there
    for one in found:
        reader = reader_name(one.reader, one.generation)
        if one.records is not None:
            metrics.lag.labels(reader, one.state, one.topic).set(one.records)
        if one.seconds is not None:
            metrics.lag_seconds.labels(reader, one.state, one.topic).set(one.seconds)
        metrics.parked.labels(reader).set(one.parked)
        metrics.alarms.labels(reader).inc(len(one.alarms))  # of all its topics
