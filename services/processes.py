"""The forms that Keyfold runs in: everything in one process, or an API and a worker per service."""

import asyncio
import contextlib
import os
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from services import console
from services.catalogue import SERVICES
from services.installation import Installation
from shared.projections import generations
from shared.projections.rebuild import rebuild
from shared.projections.tokens import format_token
from shared.relay.cursor import cursor_at
from shared.service.backend import EMBEDDED, WORKER, Backend
from shared.service.definition import Service
from shared.service.http import serve_http
from shared.service.worker import Worker
from shared.web import problems
from shared.web.app import make_app
from shared.web.health import readiness, readiness_response

VISIBLE_SECONDS = 120.0
FIRST_BEAT_SECONDS = 10.0  # a worker that has to build its read models on a busy machine
FIRST_BEAT_LOOK_SECONDS = 0.05
log = structlog.get_logger(__name__)

Ready = Callable[[str], Awaitable[None]]


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGINT and SIGTERM end the process in order."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)


def worker_id() -> str:
    """Unique among living workers, and tells an operator where it runs."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:6]}"


async def serve(
    installation: Installation, service: Service, stop: asyncio.Event, on_ready: Callable[[str], None]
) -> None:
    """The API of one service."""
    settings, draining = installation.settings, asyncio.Event()
    async with installation.backend(service) as backend:
        app = make_app(backend, installation.verifier(), draining)
        await serve_http(app, settings.host, settings.port, stop, on_ready=on_ready, draining=draining)


async def work(installation: Installation, service: Service, stop: asyncio.Event) -> None:
    """The worker of one service. Raises RelayRefusedError."""
    async with installation.backend(service, WORKER) as backend:
        await Worker(backend, worker_id()).run(stop)


@asynccontextmanager
async def everything(installation: Installation, stop: asyncio.Event) -> AsyncIterator[list[Backend]]:
    """Every service migrated and its worker at work. `stop` is set when a worker gives up; its error is raised at the end."""
    async with AsyncExitStack() as stack:
        backends: list[Backend] = []
        for service in SERVICES.values():
            await installation.migrate(service)
            backends.append(await stack.enter_async_context(installation.backend(service, EMBEDDED)))
            await _rebuild_changed(backends[-1])
        halt = asyncio.Event()
        tasks = [asyncio.create_task(Worker(backend, worker_id()).run(halt)) for backend in backends]
        for task in tasks:
            task.add_done_callback(lambda _: stop.set())
        try:
            yield backends
        finally:
            halt.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


async def _rebuild_changed(backend: Backend) -> None:
    """Read models whose tables have changed since the last start are built anew: here nobody else is at work on them."""
    for projection in backend.service.projections:
        async with backend.engine.connect() as connection:
            changed = await generations.changed(connection, projection)
        if changed:
            console.screen.print(f"The tables of {projection.name} have changed: it is folded anew", markup=False)
            with console.progress(projection.name) as advance:
                await rebuild(backend.engine, backend.log, projection, progress=advance, accept_differences=True)


async def up(
    installation: Installation, stop: asyncio.Event, on_ready: Callable[[str, list[Backend]], Awaitable[None]]
) -> None:
    """All services on one port, each under its name. `on_ready(address, backends)` runs once requests are answered."""
    settings, draining = installation.settings, asyncio.Event()
    async with everything(installation, stop) as backends:
        app = embedded_app(installation, backends, draining)
        told: list[asyncio.Task[None]] = []
        await serve_http(
            app,
            settings.host,
            settings.port,
            stop,
            on_ready=lambda address: told.append(_follow(on_ready(address, backends), stop)),
            draining=draining,
        )
        for task in told:
            await task


def _follow(work: Awaitable[None], stop: asyncio.Event) -> asyncio.Task[None]:
    async def run() -> None:
        await work

    task = asyncio.create_task(run())
    task.add_done_callback(lambda done: stop.set() if done.cancelled() or done.exception() else None)
    return task


def embedded_app(installation: Installation, backends: Sequence[Backend], draining: asyncio.Event) -> FastAPI:
    """One app with a service's app under each prefix."""
    root = FastAPI(title="Keyfold", docs_url=None, redoc_url=None, openapi_url=None)
    problems.install(root)
    verifier = installation.verifier()
    for backend in backends:
        root.mount(f"/{backend.service.name}", make_app(backend, verifier, draining))

    @root.get("/")
    async def index() -> dict[str, object]:
        names = [backend.service.name for backend in backends]
        return {
            "services": {
                name: {"docs": f"/{name}/docs", "openapi": f"/{name}/openapi.json", "metrics": f"/{name}/metrics"}
                for name in names
            },
            "jwks": "/.well-known/jwks.json",
        }

    @root.get("/.well-known/jwks.json")
    async def jwks() -> dict[str, object]:
        return installation.own_issuer().jwks()

    @root.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @root.get("/readyz")
    async def readyz() -> JSONResponse:
        return readiness_response({backend.service.name: await readiness(backend, draining) for backend in backends})

    return root


async def wait_until_visible(backends: Sequence[Backend], seconds: float = VISIBLE_SECONDS) -> None:
    """Until everything that is recorded now shows in every read model. Raises NotYetVisibleError.

    Workers that have just been started are given time for their first sign of life.
    """
    for backend in backends:
        await _alive(backend)
    reached: dict[tuple[str, int], int] = {}
    for backend in backends:
        cursor = await cursor_at(backend.store, await backend.store.head())
        reached |= {(backend.service.name, partition): at for partition, at in cursor.partitions.items()}
    if reached:
        for backend in backends:
            await backend.reads.wait_for(format_token(reached), backend.service.projections, seconds)


async def _alive(backend: Backend) -> None:
    """Until a worker of the service is alive, or has had time enough to be."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_BEAT_SECONDS):
            while not await backend.reads.worker_alive():
                await backend.bell.wait(FIRST_BEAT_LOOK_SECONDS)
