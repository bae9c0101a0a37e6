"""The process of one back-test: `python -m services.opportunity.backtesting.child`, told what to do on standard input.

Standard input and not arguments: the address of a database has its password in it, and everybody can list arguments. The first
line is the order; the input stays open as long as the process that gave it lives, and its end is the end of the back-test.
"""

import asyncio
import contextlib
import sys
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine

from services.opportunity.backtesting import table
from services.opportunity.backtesting.run import Ask, run
from shared.service.backend import open_engine

BEAT_SECONDS = 5.0
LONGEST_ORDER = 16 * 1024 * 1024
ORPHANED = "the process that asked for it is gone"


class Order(BaseModel):
    """`dsn`: of the service's database, in asyncpg's form."""

    run_id: str
    dsn: str
    ask: Ask
    now: datetime


async def carry_out(order: Order, orphaned: asyncio.Event) -> None:
    """Raises whatever a back-test fails with; GivenUpError when it is not to go on."""
    engine = open_engine(order.dsn, connections=1)
    work = asyncio.create_task(_work(engine, order))
    tasks = {work, asyncio.create_task(_beats(engine, order.run_id)), asyncio.create_task(_gone(orphaned))}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if work not in done and orphaned.is_set():
            await _cancelled(tasks)
            await table.break_off(engine, order.run_id, ORPHANED)
            raise table.GivenUpError(ORPHANED)
        for task in [work] if work in done else done:
            task.result()
    finally:
        await _cancelled(tasks)
        await engine.dispose()


async def _work(engine: AsyncEngine, order: Order) -> None:
    async def progress(done: int, total: int) -> None:
        await table.advance(engine, order.run_id, done, total)

    result = await run(order.dsn, order.ask, order.now, progress)
    rows = result.pop("rows")
    await table.finish(engine, order.run_id, result, rows)


async def _beats(engine: AsyncEngine, run_id: str) -> None:
    """However slow the work is: it is alive. Ends by raising GivenUpError."""
    while True:
        await table.beat(engine, run_id)
        await asyncio.sleep(BEAT_SECONDS)


async def _gone(orphaned: asyncio.Event) -> None:
    await orphaned.wait()


async def _cancelled(tasks: "set[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _until_end(reader: asyncio.StreamReader, orphaned: asyncio.Event) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(65_536):
            pass
    orphaned.set()


async def main() -> None:
    reader = asyncio.StreamReader(limit=LONGEST_ORDER)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    order, orphaned = Order.model_validate_json(await reader.readline()), asyncio.Event()
    listening = asyncio.create_task(_until_end(reader, orphaned))
    try:
        await carry_out(order, orphaned)
    finally:
        listening.cancel()
        transport.close()


if __name__ == "__main__":
    asyncio.run(main())
