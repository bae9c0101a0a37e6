"""Starting the process of a back-test, and telling when it ended otherwise than it should."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import Process
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.opportunity.backtesting import table
from services.opportunity.backtesting.child import Order
from services.opportunity.backtesting.run import Ask
from shared.service.backend import Backend

STOP_SECONDS = 3.0
CHILD = "services.opportunity.backtesting.child"
STOPPED = "the service was stopped"
log = structlog.get_logger(__name__)
_watched: dict[asyncio.Task[None], tuple[AsyncEngine, str]] = {}
"""(what its row is written by, its id)."""


async def start(backend: Backend, run_id: UUID, sent: dict[str, Any], ask: Ask, by: str, now: datetime) -> bool:
    """`sent`: the request, to know it again. False when it was started before under this id.

    Raises TooManyRunningError, IdempotencyMismatchError.
    """
    asked = ask.model_dump(mode="json", exclude_none=True)
    if not await table.enter(backend.engine, run_id, sent, asked, by, now):
        return False
    order = Order(run_id=str(run_id), dsn=backend.dsn, ask=ask, now=now)
    task = asyncio.create_task(_watch(backend, order), name=f"backtest {run_id}")
    _watched[task] = backend.engine, order.run_id
    task.add_done_callback(lambda ended: _watched.pop(ended, None))
    return True


async def stop_all(engine: AsyncEngine) -> None:
    """Those begun on this engine: their processes end, and they stay on record as broken off."""
    mine = {task: run_id for task, (begun_on, run_id) in _watched.items() if begun_on is engine}
    for task in mine:
        task.cancel()
    await asyncio.gather(*mine, return_exceptions=True)
    for run_id in mine.values():  # here and not where it is watched: what is cancelled may not have begun
        await table.break_off(engine, run_id, STOPPED)


async def _watch(backend: Backend, order: Order) -> None:
    pipe = asyncio.subprocess.PIPE
    process: Process | None = None
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", CHILD, stdin=pipe, stdout=asyncio.subprocess.DEVNULL, stderr=pipe
        )
        said = await _told(process, order)
    except OSError as error:
        await table.fail(backend.engine, order.run_id, f"its process could not be started: {error}")
        return
    except asyncio.CancelledError:
        if process is not None:
            await stop(process)
        raise
    if process.returncode:
        last = (said.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        log.error("a back-test failed", run_id=order.run_id, returncode=process.returncode, error=last)
        await table.fail(backend.engine, order.run_id, f"its process ended with {process.returncode}: {last}")


async def _told(process: Process, order: Order) -> bytes:
    """What it says on standard error until its end. Its standard input stays open: by that it knows that somebody waits."""
    if process.stdin is None or process.stderr is None:
        raise RuntimeError("a process of a back-test has pipes")
    with contextlib.suppress(ConnectionError):  # it has ended already, and says why
        process.stdin.write(order.model_dump_json().encode() + b"\n")
        await process.stdin.drain()
    said = await process.stderr.read()
    await process.wait()
    return said


async def stop(process: Process) -> None:
    """Asked to, or else made to."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
