"""What operators do: migrate, rebuild, verify, look at lag and parked streams, republish, recover."""

import getpass
import shlex
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
from shared.projections.parking import place_of, transient
from shared.projections.reactors import ReactSink
from shared.projections.rebuild import RebuildReport, rebuild
from shared.relay.recover import recover
from shared.relay.republish import republish
from shared.service.backend import WORKER, Backend
from shared.service.definition import Service


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
        said.append(f"{_events(report.parked)} could not be folded or waited behind such a one, and were parked")
    return said


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


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
        raise _unknown(service, which, [projection.name for projection in service.projections])
    return found


def _unknown(service: Service, which: str, names: Sequence[str]) -> console.CommandError:
    return console.CommandError(f"{service.name} has no read model {which!r}; there are {', '.join(names)}")


def _reader(backend: Backend, name: str) -> Projection | ReactSink:
    """A read model, or a reactor as `keyfold parked list` names it. Raises CommandError with the names that there are."""
    service = backend.service
    readers: list[Projection | ReactSink] = [
        *service.projections,
        *(ReactSink(backend.engine, reactor, backend.commands) for reactor in service.reactors),
    ]
    for reader in readers:
        if reader.name == name:
            return reader
    raise _unknown(service, name, [reader.name for reader in readers])


async def list_parked(settings: Settings, json: bool) -> None:
    found: list[tuple[str, parked.ParkedStream]] = []
    async with open_installation(settings) as installation:
        for service in SERVICES.values():
            async with installation.backend(service, WORKER) as backend:
                found += [(service.name, one) for one in await parked.parked_streams(backend.engine)]
    if json or not found:
        rows = [{"service": owner, **asdict(one)} for owner, one in found]
        console.show("Parked streams", rows, json=json, empty="none")
        return
    # No table: it would cut ids and commands off at the edge of a narrow terminal.
    for owner, one in found:
        console.lines(
            f"{one.projection} ({owner}, generation {one.generation}, {one.state}): {one.stream_id}",
            f"  {one.type_name} at position {one.position}, events: {one.events}, since {one.since:%Y-%m-%d %H:%M:%S %Z}",
            f"  {_failure(one.error, one.place)}",
            f"  keyfold parked show {owner} {one.projection} {shlex.quote(one.stream_id)}",
        )


async def list_dropped(settings: Settings, json: bool) -> None:
    rows: list[dict[str, object]] = []
    async with open_installation(settings) as installation:
        for service in SERVICES.values():
            async with installation.backend(service, WORKER) as backend:
                rows += [
                    {"service": service.name, **asdict(one)} for one in await parked.dropped_events(backend.engine)
                ]
    console.show("Events given up", rows, json=json, empty="none")


def _failure(error: str, place: str | None) -> str:
    return f"{error} (at {place})" if place else error


async def show_parked(settings: Settings, name: str, projection: str, stream: str, json: bool) -> None:
    """Raises CommandError when it is not parked."""
    async with _backend(settings, name) as (_, backend):
        events = await parked.parked_events(backend.engine, projection, stream)
        if not events:
            _reader(backend, projection)  # a name that there is not is told first
            raise _not_parked(projection, stream)
    rows = [
        {
            "generation": one.generation,
            "state": one.state,
            "position": one.position,
            "type": one.type_name,
            "error": one.error or "queued behind",
            "place": one.place,
            "data": orjson.loads(one.data) if json else one.data.decode()[:200],
        }
        for one in events
    ]
    console.show(f"{projection}: {stream}", rows, json=json)


def _not_parked(projection: str, stream: str) -> console.CommandError:
    return console.CommandError(f"{projection}: {stream} is not parked; `keyfold parked list` shows what is")


async def replay_parked(settings: Settings, name: str, projection: str, stream: str) -> None:
    """Raises CommandError when it is not parked, or fails again."""
    async with _backend(settings, name) as (_, backend):
        found = _reader(backend, projection)
        try:
            count = await parked.replay(backend.engine, found, stream)
        except Exception as error:
            if transient(error):
                raise
            failure = _failure(f"{type(error).__name__}: {error}", place_of(error))
            raise console.CommandError(
                f"{projection}: {stream} still cannot be taken, and stays parked. {failure}"
            ) from error
        left = await parked.parked_events(backend.engine, projection, stream)
    if not count:
        raise _passed_over(projection, stream, left) if left else _not_parked(projection, stream)
    console.screen.print(f"{projection}: {_events(count)} of {stream} replayed")


def _passed_over(projection: str, stream: str, left: Sequence[parked.ParkedEvent]) -> console.CommandError:
    where = ", ".join(f"{number} ({state})" for number, state in sorted({(one.generation, one.state) for one in left}))
    return console.CommandError(
        f"{projection}: {stream} is parked only in generation {where}, which has other tables than this code, so there is "
        "nothing to replay; an old generation is dropped when nobody needs it, a live one wants `keyfold rebuild`"
    )


async def drop_parked(
    settings: Settings, name: str, projection: str, stream: str, position: int, reason: str, by: str | None
) -> None:
    """`by`: who gives it up, by default the login of the operating system. Raises CommandError when it is not parked."""
    actor = by or login()
    async with _backend(settings, name) as (_, backend):
        found = _reader(backend, projection)
        try:
            await parked.drop(backend.engine, found, stream, position, reason=reason, actor=actor)
        except LookupError as unknown:
            raise console.CommandError(str(unknown)) from None
    console.screen.print(f"{projection}: the event of {stream} at position {position} is given up")


def login() -> str:
    """Of the operating system. Raises CommandError for a user without one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        raise console.CommandError("this user has no login name: say with --by who does this") from None


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
        f"the store reached to {report.before} and reaches to {report.after}; commands: {report.commands}; "
        f"lost: {len(report.lost)}"
    )
