"""`keyfold up`: every service and its worker in one process, on one port."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from services import console
from services.catalogue import SERVICES
from services.installation import Installation, open_installation
from services.welcome import greet, introduce, is_first_start, load_company
from shared.kit.settings import Settings
from shared.kit.telemetry import configure_logging, log_file
from shared.kit.tracing import OFF, Tracing, opened_tracing
from shared.projections import generations
from shared.projections.rebuild import rebuild
from shared.service.backend import EMBEDDED, Backend
from shared.service.http import listen, serve_http
from shared.service.loop import watched
from shared.service.process import stop_on_signals, worker_id
from shared.service.visible import wait_until_visible
from shared.service.worker import Worker
from shared.web import problems
from shared.web.app import make_app
from shared.web.health import readiness, readiness_response
from shared.web.rates import limits


async def start(settings: Settings, *, demo: bool) -> None:
    """Until Ctrl-C. The log goes into a file, unless the settings say how it is wanted on standard error.

    Raises ListenError, PostgresUnavailable, RelayRefusedError, AppendsRefusedError."""
    began = time.monotonic()
    for free in listen(settings.host, settings.port):  # before a database is started for nothing
        free.close()
    stop, draining = asyncio.Event(), asyncio.Event()
    stop_on_signals(stop)
    console.screen.print(f"Keyfold starts; its data are in {settings.data.absolute()}", markup=False, soft_wrap=True)
    if settings.model_fields_set.isdisjoint({"log_level", "log_format"}):
        file = settings.data / "keyfold.log"
        configure_logging(settings.log_level, settings.log_format, log_file(file))
        console.screen.print(f"Its log is in {file.absolute()}", markup=False, soft_wrap=True)
    async with (
        open_installation(settings) as installation,
        opened_tracing("keyfold") as tracing,
        everything(installation, stop, tracing) as backends,
    ):

        async def welcome(address: str) -> None:
            if demo and await is_first_start(backends):
                console.screen.print("First start: loading an invented company …")
                await load_company(installation, backends)
            await wait_until_visible(backends)
            if demo:
                await introduce(backends)
            await greet(installation, backends, address, time.monotonic() - began)

        told: list[asyncio.Task[None]] = []

        def ready(address: str) -> None:
            told.append(asyncio.create_task(welcome(address)))
            told[0].add_done_callback(lambda done: stop.set() if done.cancelled() or done.exception() else None)

        app = embedded_app(installation, backends, draining)
        async with watched([backend.figures for backend in backends]):
            await serve_http(
                app, settings.host, settings.port, stop, on_ready=ready, draining=draining, proxies=settings.proxies
            )
        for task in told:
            await task
    console.screen.print("Stopped. The data stay for the next start.")


async def load_demo_company(settings: Settings) -> None:
    """`keyfold demo`: into whatever installation the settings name."""
    async with open_installation(settings) as installation, everything(installation, asyncio.Event()) as backends:
        await load_company(installation, backends)
        await wait_until_visible(backends)
    console.screen.print("The invented company is there.")


@asynccontextmanager
async def everything(
    installation: Installation, stop: asyncio.Event, tracing: Tracing = OFF
) -> AsyncIterator[list[Backend]]:
    """Every service migrated and its worker at work. `stop` is set when a worker gives up; its error is raised at the end."""
    async with AsyncExitStack() as stack:
        backends: list[Backend] = []
        for service in SERVICES.values():
            await installation.migrate(service)
            backends.append(await stack.enter_async_context(installation.backend(service, EMBEDDED, tracing)))
            await backends[-1].store.check_appends()
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
            for result in results:  # what ended a worker is the cause of whatever else has failed since
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


def embedded_app(installation: Installation, backends: Sequence[Backend], draining: asyncio.Event) -> FastAPI:
    """One app with a service's app under each prefix."""
    root = FastAPI(title="Keyfold", docs_url=None, redoc_url=None, openapi_url=None)
    problems.install(root)
    verifier, settings = installation.verifier(), installation.settings
    for backend in backends:
        allowed = limits(settings.rate, settings.rate_burst)
        app = make_app(backend, verifier, draining, allowed=allowed, origins=settings.allowed_origins)
        root.mount(f"/{backend.service.name}", app)

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
