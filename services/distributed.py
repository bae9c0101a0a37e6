"""An API and a worker per service, each a process of its own, against servers that the settings name."""

import asyncio

import structlog

from services.catalogue import SERVICES
from services.installation import open_installation
from shared.eventstore.types import AppendsRefusedError
from shared.kit.settings import API_NEEDS, WORKER_NEEDS, Settings
from shared.kit.tracing import opened_tracing
from shared.service.backend import WORKER
from shared.service.http import listen, serve_http
from shared.service.loop import watched
from shared.service.process import stop_on_signals, worker_id
from shared.service.worker import Worker
from shared.web.app import make_app, make_worker_app
from shared.web.rates import limits

log = structlog.get_logger(__name__)


async def run_api(settings: Settings, name: str) -> None:
    """Raises SettingsError naming every setting that is missing, ListenError."""
    settings.require(*API_NEEDS)
    stop, draining = asyncio.Event(), asyncio.Event()
    stop_on_signals(stop)
    async with (
        open_installation(settings) as installation,
        opened_tracing(f"keyfold-{name}-api") as tracing,
        installation.backend(SERVICES[name], tracing=tracing) as backend,
        watched([backend.figures]),
    ):
        try:
            await backend.store.check_appends()
        except AppendsRefusedError as refusal:  # reads go on; commands are told the same until it is mended
            log.error("commands are refused", service=name, reason=str(refusal))
        app = make_app(
            backend,
            installation.verifier(backend.figures),
            draining,
            root_path=settings.root_path,
            allowed=limits(settings.rate, settings.rate_burst),
            origins=settings.allowed_origins,
        )
        await serve_http(
            app,
            settings.host,
            settings.port,
            stop,
            on_ready=lambda address: log.info("ready", service=name, address=address),
            draining=draining,
            unready_seconds=settings.unready_seconds,
            proxies=settings.proxies,
        )


async def run_worker(settings: Settings, name: str) -> None:
    """It answers for its health until its work has ended. Raises SettingsError, ListenError, RelayRefusedError."""
    settings.require(*WORKER_NEEDS)
    stop, ended = asyncio.Event(), asyncio.Event()
    stop_on_signals(stop)
    for free in listen(settings.host, settings.port):  # before anything is taken up for nothing
        free.close()
    async with (
        open_installation(settings) as installation,
        opened_tracing(f"keyfold-{name}-worker") as tracing,
        installation.backend(SERVICES[name], WORKER, tracing) as backend,
        watched([backend.figures]),
    ):
        worker = Worker(backend, worker_id())
        working = asyncio.create_task(worker.run(stop), name="worker")
        working.add_done_callback(lambda _: ended.set())
        try:
            await serve_http(
                make_worker_app(worker, draining=stop),
                settings.host,
                settings.port,
                ended,
                on_ready=lambda address: log.info("working", service=name, address=address),
                draining=stop,
            )
        finally:
            stop.set()
            await asyncio.gather(working, return_exceptions=True)
        working.result()
