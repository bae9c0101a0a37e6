"""Is it alive, is it ready, how is it: for whoever operates it. Open to everybody who reaches the port."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.kit.figures import CONTENT_TYPE
from shared.service.backend import Backend
from shared.service.worker import Worker
from shared.web.commanding import BackendNow
from shared.web.measuring import measure
from shared.web.metrics import Metrics
from shared.web.problems import problem_of

router = APIRouter(tags=["operations"])
worker_router = APIRouter()
CHECK_SECONDS = 2.0
ANSWERED_SECONDS = 15.0
_NOT_THERE = ("42P01", "3F000", "3D000")  # PostgreSQL's states for a table, a schema, a database that does not exist


@worker_router.get("/healthz")
@router.get("/healthz", summary="The process is alive")
async def healthz() -> dict[str, str]:
    """The process runs."""
    return {"status": "alive"}


@router.get("/readyz", summary="Requests can be answered", responses={503: {"description": "not now"}})
async def readyz(request: Request, backend: BackendNow) -> JSONResponse:
    """It can answer: what it needs is there, and it is not about to stop. Else 503."""
    return readiness_response({backend.service.name: await readiness(backend, request.app.state.draining)})


@worker_router.get("/readyz")
async def worker_readyz(request: Request) -> JSONResponse:
    worker: Worker = request.app.state.worker
    return readiness_response({worker.backend.service.name: await worker_readiness(worker, request.app.state.draining)})


@dataclass(frozen=True, slots=True)
class Readiness:
    """`checks`: what was looked at, with what was found."""

    ready: bool
    checks: Mapping[str, str]


STOPS = Readiness(False, {"draining": "yes"})  # told at once: whoever asks has to know before connections are refused


async def readiness(backend: Backend, draining: asyncio.Event) -> Readiness:
    """Can this process answer requests for the service? A missing worker is told, but reads go on without one.

    A database that is slow to answer is told, too: were a process that has much to do taken out for it, the others would have more,
    until none was left. But one that has heard nothing of its database for ANSWERED_SECONDS cannot reach it.
    """
    if draining.is_set():
        return STOPS
    checks = {"draining": "no", **await _checks(backend)}
    return Readiness(_answers(backend, checks["database"]) and checks["read_models"] == "ok", checks)


async def worker_readiness(worker: Worker, draining: asyncio.Event) -> Readiness:
    """Does this worker do its work? It publishes or stands by for the one that does, and the others see its heart beat."""
    if draining.is_set():
        return STOPS
    state = worker.relay.status().state
    checks = {
        "draining": "no",
        "database": await _database(worker.backend),
        "relay": state,
        "heart": "beats" if worker.beats else "does not beat",
    }
    ready = _answers(worker.backend, checks["database"]) and state in ("publishing", "standby")
    return Readiness(ready and worker.beats, checks)


def _answers(backend: Backend, database: str) -> bool:
    return database == "ok" or (database == "slow" and backend.answered.within(ANSWERED_SECONDS))


async def _database(backend: Backend) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS), backend.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except Exception as error:
        if _slow(error):
            return "slow"
        if problem_of(error) is None:
            raise
        return "unreachable"
    return "ok"


def _slow(error: Exception) -> bool:
    """No answer in time, or all connections of this process are at work."""
    return isinstance(error, (TimeoutError, PoolTimeoutError))


def readiness_response(found: Mapping[str, Readiness]) -> JSONResponse:
    """One answer for the services of a process: 503 when one of them is not ready."""
    ready = all(one.ready for one in found.values())
    content = {
        "status": "ready" if ready else "not ready",
        "checks": {name: dict(one.checks) for name, one in found.items()},
    }
    return JSONResponse(content, 200 if ready else 503)


async def _checks(backend: Backend) -> dict[str, str]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            async with backend.reads.connect(*backend.service.projections) as connection:
                await connection.execute(text("SELECT 1"))
            alive = await backend.reads.worker_alive()
    except Exception as error:
        if _slow(error):
            return {"database": "slow", "read_models": "ok"}
        problem = problem_of(error)
        if problem is not None and problem.code == "not_built":
            return {"database": "ok", "read_models": "not built"}
        if getattr(getattr(error, "orig", error), "sqlstate", None) in _NOT_THERE:
            return {"database": "not migrated", "read_models": "unknown"}
        if problem is None:
            raise
        return {"database": "unreachable", "read_models": "unknown"}
    return {"database": "ok", "read_models": "ok", "worker": "alive" if alive else "none"}


@worker_router.get("/metrics", response_class=Response)
@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(request: Request, backend: BackendNow) -> Response:
    """For Prometheus."""
    found: Metrics = request.app.state.metrics
    await measure(found, backend)
    return Response(found.figures.text(), media_type=CONTENT_TYPE)
