"""What operators do: migrate, rebuild, verify, look at lag and parked streams, republish, recover."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict

import orjson

from services import console
from services.catalogue import SERVICES
from services.installation import Installation, open_installation, service_database
from shared.kit.settings import WORKER_NEEDS, Settings
from shared.projections import parked
from shared.projections.definition import Projection
from shared.projections.lag import lag, workers
from shared.projections.reactors import ReactSink
from shared.projections.rebuild import RebuildReport, rebuild
from shared.relay.recover import recover
from shared.relay.relay import Relay
from shared.relay.republish import republish
from shared.service.backend import WORKER, Backend
from shared.service.definition import Service
from shared.service.process import worker_id


@asynccontextmanager
async def _backend(settings: Settings, name: str) -> AsyncIterator[tuple[Installation, Backend]]:
    async with (
        open_installation(settings) as installation,
        installation.backend(SERVICES[name], WORKER) as backend,
    ):
        yield installation, backend


async def migrate_all(settings: Settings, name: str | None) -> None:
    """Raises SettingsError: on a server of one's own, what is recorded must be what the other processes can read again."""
    if settings.database_url is not None:
        settings.require(*WORKER_NEEDS)
    async with open_installation(settings) as installation:
        for service in [SERVICES[name]] if name else SERVICES.values():
            await installation.migrate(service)
            console.screen.print(f"{service.name}: database, topics, read models and first facts are up to date")


async def rebuild_projections(
    settings: Settings, name: str, which: str, accept_differences: bool, *, keep: bool, json: bool
) -> bool:
    """True when every one was switched to; for a verification: is equal to the live one, with nothing parked. What speaks
    against it is told on standard error. Raises RebuildRefusedError, CommandError.
    """
    reports: list[RebuildReport] = []
    async with _backend(settings, name) as (_, backend):
        for projection in _chosen(backend.service, which):
            with console.progress(projection.name) as advance:
                reports.append(
                    await rebuild(
                        backend.engine,
                        backend.log,
                        projection,
                        progress=advance,
                        accept_differences=accept_differences,
                        keep=keep,
                    )
                )
    rows = [_rebuilt(report) for report in reports]
    console.show("Rebuild" if keep else "Verification", rows, json=json)
    for report in reports:
        for difference in report.comparison.differences if report.comparison and not json else ():
            for line in (*difference.columns, *difference.examples):
                console.screen.print(f"{report.projection}.{difference.table}: {line}", markup=False, soft_wrap=True)
    for report in reports:
        for objection in _objections(report, keep=keep):
            console.errors.print(f"{report.projection}: {objection}", markup=False, highlight=False, soft_wrap=True)
    return all(report.switched_to is not None if keep else not _objections(report, keep=keep) for report in reports)


def _objections(report: RebuildReport, *, keep: bool) -> list[str]:
    """Why it was not switched to, or what a verification found; and what a rebuild could not fold."""
    said: list[str] = []
    if keep and report.switched_to is None:
        said.append(f"not switched: {_differing(report)}; --accept-differences when that is meant")
    elif not keep and report.comparison is not None and not report.comparison.equal:
        said.append(_differing(report))
    if report.parked:
        events = "1 event" if report.parked == 1 else f"{report.parked} events"
        said.append(f"{events} could not be folded or waited behind such a one, and were parked")
    return said


def _differing(report: RebuildReport) -> str:
    compared = report.comparison
    if compared is None:
        return "there is nothing to compare with"
    rows = "1 row differs" if compared.rows_differing == 1 else f"{compared.rows_differing} rows differ"
    changed = [difference.table for difference in compared.differences if difference.columns]
    return f"{rows}, the columns of {', '.join(changed)} have changed" if changed else rows


def _rebuilt(report: RebuildReport) -> dict[str, object]:
    compared = report.comparison
    return {
        "read_model": report.projection,
        "records": report.records,
        "parked": report.parked,
        "rows_compared": compared.rows if compared else 0,
        "rows_differing": compared.rows_differing if compared else 0,
        "generation": report.switched_to,
    }


def _chosen(service: Service, which: str) -> Sequence[Projection]:
    if which == "all":
        return service.projections
    found = [projection for projection in service.projections if projection.name == which]
    if not found:
        names = ", ".join(projection.name for projection in service.projections)
        raise console.CommandError(f"{service.name} has no read model {which!r}; there are {names}")
    return found


def _reader(backend: Backend, name: str) -> Projection | ReactSink:
    """A read model, or a reactor as `keyfold parked list` names it."""
    sinks = [ReactSink(backend.engine, reactor, backend.commands) for reactor in backend.service.reactors]
    for sink in sinks:
        if sink.name == name:
            return sink
    return _chosen(backend.service, name)[0]


async def show_lag(settings: Settings, json: bool) -> None:
    rows: list[dict[str, object]] = []
    async with open_installation(settings) as installation:
        for service in SERVICES.values():
            async with installation.backend(service, WORKER) as backend:
                alive = len(await workers(backend.engine))
                relay = Relay(backend.dsn, backend.store, backend.log, service.contract)
                rows.append(_lag(service.name, "relay", service.contract.topic, await relay.lag(), None, 0, "", alive))
                for one in await lag(backend.engine, backend.log):
                    reader = f"{one.reader}_g{one.generation}" if one.generation else one.reader
                    alarms = "; ".join(one.alarms)
                    rows.append(
                        _lag(
                            service.name,
                            reader,
                            one.topic,
                            one.records,
                            round(one.seconds, 1),
                            one.parked,
                            alarms,
                            alive,
                        )
                    )
    console.show("Lag", rows, json=json)


def _lag(
    service: str,
    reader: str,
    topic: str,
    events: int,
    seconds: float | None,
    parked_events: int,
    alarms: str,
    workers: int,
) -> dict[str, object]:
    return {
        "service": service,
        "reader": reader,
        "topic": topic,
        "events": events,
        "seconds": seconds,
        "parked": parked_events,
        "alarms": alarms,
        "workers": workers,
    }


async def list_parked(settings: Settings, json: bool) -> None:
    rows: list[dict[str, object]] = []
    async with open_installation(settings) as installation:
        for service in SERVICES.values():
            async with installation.backend(service, WORKER) as backend:
                rows += [
                    {"service": service.name, **asdict(one)} for one in await parked.parked_streams(backend.engine)
                ]
    console.show("Parked streams", rows, json=json, empty="none")


async def show_parked(settings: Settings, name: str, projection: str, stream: str, json: bool) -> None:
    async with _backend(settings, name) as (_, backend):
        events = await parked.parked_events(backend.engine, projection, stream)
    rows = [
        {
            "position": one.position,
            "type": one.type_name,
            "error": one.error or "queued behind",
            "data": orjson.loads(one.data) if json else one.data.decode()[:200],
        }
        for one in events
    ]
    console.show(f"{projection}: {stream}", rows, json=json, empty="not parked")


async def replay_parked(settings: Settings, name: str, projection: str, stream: str) -> None:
    async with _backend(settings, name) as (_, backend):
        count = await parked.replay(backend.engine, _reader(backend, projection), stream)
    console.screen.print(f"{projection}: {count} events of {stream} replayed")


async def drop_parked(settings: Settings, name: str, projection: str, stream: str, position: int, reason: str) -> None:
    async with _backend(settings, name) as (_, backend):
        found = _reader(backend, projection)
        try:
            await parked.drop(backend.engine, found, stream, position, reason=reason, actor=worker_id())
        except LookupError as unknown:
            raise console.CommandError(str(unknown)) from None
    console.screen.print(f"{projection}: the event of {stream} at position {position} is given up")


async def republish_events(settings: Settings, name: str, after: int) -> None:
    async with _backend(settings, name) as (_, backend):
        try:
            done = await republish(backend.dsn, backend.store, after)
        except ValueError as unknown:
            raise console.CommandError(str(unknown)) from None
    console.screen.print(f"{done.topic}: positions {done.first} to {done.last} are published again by the worker")


async def recover_store(settings: Settings, name: str, accept_loss: bool) -> None:
    service = SERVICES[name]
    async with open_installation(settings) as installation:
        dsn = installation.server.database(service_database(name))
        report = await recover(dsn, installation.log, service.contract, accept_loss=accept_loss)
    console.screen.print(
        f"{report.topic}: {report.after - report.before} events brought back from {report.read} records; "
        f"the store reached to {report.before} and reaches to {report.after}; lost: {len(report.lost)}"
    )
