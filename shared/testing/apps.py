"""A whole service for tests, in this process: store, log, worker and HTTP, on real databases."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from shared.files.local import LocalFiles
from shared.kit.calendar import BusinessCalendar
from shared.kit.clock import Clock
from shared.kit.permissions import ROLES
from shared.kit.tracing import OFF, Tracing
from shared.log.open import open_log
from shared.service.backend import EMBEDDED, Backend, migrate_service, open_backend
from shared.service.definition import Service
from shared.service.worker import Worker
from shared.web.app import make_app
from shared.web.auth import Verifier
from shared.web.own_issuer import ISSUER, OwnIssuer

SECRET = b"a secret of the tests"
AUDIENCE = "keyfold"
_ISSUER = OwnIssuer(Ed25519PrivateKey.generate())


@dataclass(frozen=True)
class RunningService:
    """`client` calls it in the name of somebody."""

    backend: Backend
    app: FastAPI

    def client(self, subject: str = "operator", *roles: str) -> httpx.AsyncClient:
        """Without roles: every one of them."""
        token = _ISSUER.mint(subject, roles or ROLES, AUDIENCE)
        return self.stranger(headers={"Authorization": f"Bearer {token}"})

    def roleless(self, subject: str) -> httpx.AsyncClient:
        """With a valid token that gives no role."""
        return self.stranger(headers={"Authorization": f"Bearer {_ISSUER.mint(subject, (), AUDIENCE)}"})

    def stranger(self, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        """Without a token, or with headers of the test's own."""
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://keyfold.test", headers=headers)


def token(subject: str, *roles: str, days: float = 1) -> str:
    return _ISSUER.mint(subject, roles, AUDIENCE, days)


@asynccontextmanager
async def running(
    service: Service,
    dsn: str,
    log_url: str,
    *,
    clock: Clock | None = None,
    worker: bool = True,
    tracing: Tracing = OFF,
) -> AsyncIterator[RunningService]:
    """Migrated, its worker at work (unless `worker=False`), until the block is left; files are kept until then."""
    log = open_log(log_url)
    calendar = BusinessCalendar()
    try:
        await migrate_service(service, dsn, log, SECRET, calendar)
        with tempfile.TemporaryDirectory(prefix="keyfold-files-") as folder:
            async with open_backend(
                service, dsn, log, SECRET, calendar, files=LocalFiles(Path(folder)),
                clock=clock, tracing=tracing, store_connections=EMBEDDED.store, read_connections=EMBEDDED.reads,
            ) as backend:  # fmt: skip
                app = make_app(backend, Verifier(_ISSUER, ISSUER, AUDIENCE), asyncio.Event())
                async with working(backend) if worker else _idle():
                    yield RunningService(backend, app)
    finally:
        await log.close()


@asynccontextmanager
async def working(backend: Backend, worker_id: str = "test") -> AsyncIterator[Worker]:
    """A worker of the service, its heart beating, until the block is left. Raises what ended it."""
    stop = asyncio.Event()
    worker = Worker(backend, worker_id)
    task = asyncio.create_task(worker.run(stop))
    try:
        while not task.done() and not await backend.reads.worker_alive():
            await asyncio.wait({task}, timeout=0.02)
        yield worker
    finally:
        stop.set()
        await task


@asynccontextmanager
async def _idle() -> AsyncIterator[None]:
    yield
