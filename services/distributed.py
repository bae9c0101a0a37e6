"""An API and a worker per service, each a process of its own, against servers that the settings name."""

import asyncio

import structlog

from services.catalogue import SERVICES
from services.installation import open_installation
from services.processes import serve, stop_on_signals, work
from shared.kit.settings import Settings

log = structlog.get_logger(__name__)


async def run_api(settings: Settings, name: str) -> None:
    """Raises SettingsError naming every setting that is missing."""
    settings.for_distributed()
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with open_installation(settings) as installation:
        await serve(
            installation, SERVICES[name], stop, lambda address: log.info("ready", service=name, address=address)
        )


async def run_worker(settings: Settings, name: str) -> None:
    """Raises SettingsError, RelayRefusedError."""
    settings.for_distributed()
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with open_installation(settings) as installation:
        log.info("working", service=name)
        await work(installation, SERVICES[name], stop)
