"""Starting the process of a back-test, and telling when it ended otherwise than it should."""

import asyncio
import contextlib
import sys
from datetime import datetime
from uuid import UUID

import structlog

from services.opportunity.backtesting import table
from services.opportunity.backtesting.child import Order
from services.opportunity.backtesting.run import Ask
from shared.service.backend import Backend

STOP_SECONDS = 3.0
CHILD = "services.opportunity.backtesting.child"
log = structlog.get_logger(__name__)
_watched: set[asyncio.Task[None]] = set()  # the loop holds tasks only weakly


async def start(backend: Backend, run_id: UUID, ask: Ask, by: str, now: datetime) -> bool:
    """False when it was started before under this id. Raises TooManyRunningError."""
    if not await table.enter(backend.engine, run_id, ask.model_dump(mode="json", exclude_none=True), by, now):
        return False
    order = Order(run_id=str(run_id), dsn=backend.dsn, ask=ask, now=now)
    task = asyncio.create_task(_watch(backend, order), name=f"backtest {run_id}")
    _watched.add(task)
    task.add_done_callback(_watched.discard)
    return True


async def _watch(backend: Backend, order: Order) -> None:
    """Ended with this process, it stays on record as one that fell silent."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", CHILD, stdin=pipe, stdout=asyncio.subprocess.DEVNULL, stderr=pipe
        )
    except OSError as error:
        await table.fail(backend.engine, order.run_id, f"its process could not be started: {error}")
        return
    try:
        _, said = await process.communicate(order.model_dump_json().encode())
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
        raise
    if process.returncode:
        last = (said.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        log.error("a back-test failed", run_id=order.run_id, returncode=process.returncode, error=last)
        await table.fail(backend.engine, order.run_id, f"its process ended with {process.returncode}: {last}")
