"""`keyfold lag`: how far relays, read models, reactors and due dates are behind, held against the thresholds."""

import asyncio
from typing import Any

from services import console
from services.catalogue import SERVICES
from services.installation import open_installation
from shared.kit.settings import Settings
from shared.log.port import Log, LogUnavailableError
from shared.projections.follower import reader_name
from shared.projections.lag import lag, workers
from shared.relay.lag import relay_lag
from shared.scheduler.due import due_status
from shared.service.backend import WORKER, Backend
from shared.service.thresholds import DUE_LATE_SECONDS, status_of

LOG_SECONDS = 20.0  # a log that has not answered by then is away
Row = dict[str, Any]


async def show_lag(settings: Settings, json: bool) -> bool:
    """A row for each relay, reader and topic, and the due dates of each service. True when all of them are ok."""
    rows: list[Row] = []
    away: str | None = None
    async with open_installation(settings) as installation:
        for service in SERVICES.values():
            async with installation.backend(service, WORKER) as backend:
                found, away = await _of(backend, installation.log, away)
                rows += found
    console.show("Lag", rows, json=json)
    if away is not None:
        message = f"The log is away, so what readers have still to take is not known: {away}"
        console.errors.print(message, style="bold red", markup=False, highlight=False, soft_wrap=True)
    return all(row["status"] == "ok" for row in rows)


async def _of(backend: Backend, log: Log, away: str | None) -> tuple[list[Row], str | None]:
    """Rows of a service, and why the log cannot be asked: `away` when that is known already, None when it can."""
    alive = len(await workers(backend.engine))
    topic = backend.service.contract.topic
    relay = await relay_lag(backend.engine, topic)
    status = status_of(state="relay", seconds=relay.seconds, workers=alive)
    rows = [_row(backend, "relay", status, "relay", topic, relay.events, relay.seconds, workers=alive)]
    try:
        async with asyncio.timeout(LOG_SECONDS):
            if away is None:
                await log.partitions(topic)  # where nobody has read anything yet, the next asks nothing
            readers = await lag(backend.engine, log if away is None else None)
    except (LogUnavailableError, TimeoutError) as error:
        away = str(error) or "it does not answer"
        readers = await lag(backend.engine, None)
    for one in readers:
        status = status_of(
            state=one.state, seconds=one.seconds, parked=one.parked, alarms=len(one.alarms), workers=alive
        )
        rows.append(
            _row(
                backend, reader_name(one.reader, one.generation), status, one.state, one.topic, one.records, one.seconds,
                parked=one.parked, alarms="; ".join(one.alarms), notes="; ".join(one.notes), workers=alive,
            )
        )  # fmt: skip
    return [*rows, await _due(backend, alive)], away


async def _due(backend: Backend, alive: int) -> Row:
    now = backend.clock.now()
    async with backend.engine.connect() as connection:
        due = await due_status(connection, now)
    late = max(0.0, (now - due.next_due_at).total_seconds()) if due.next_due_at is not None else 0.0
    status = status_of(state="due", seconds=late, workers=alive, late=DUE_LATE_SECONDS)
    notes = f"failing: {due.failing}; the last: {due.last_error}" if due.failing else ""
    return _row(backend, "due dates", status, "due", "", due.overdue, late, notes=notes, workers=alive)


def _row(
    backend: Backend, reader: str, status: str, state: str, topic: str, events: int | None,
    seconds: float | None, *, parked: int = 0, alarms: str = "", notes: str = "", workers: int,
) -> Row:  # fmt: skip
    return {
        "service": backend.service.name,
        "reader": reader,
        "status": status,
        "state": state,
        "topic": topic,
        "events": events,
        "seconds": None if seconds is None else round(seconds, 1),
        "parked": parked,
        "alarms": alarms,
        "notes": notes,
        "workers": workers,
    }
