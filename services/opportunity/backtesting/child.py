"""The process of one back-test: `python -m services.opportunity.backtesting.child`, told what to do on standard input.

Standard input and not arguments: the address of a database has its password in it, and everybody can list arguments.
"""

import asyncio
import sys
from datetime import datetime

from pydantic import BaseModel

from services.opportunity.backtesting import table
from services.opportunity.backtesting.run import Ask, run
from shared.service.backend import open_engine


class Order(BaseModel):
    """`dsn`: of the service's database, in asyncpg's form."""

    run_id: str
    dsn: str
    ask: Ask
    now: datetime


async def carry_out(order: Order) -> None:
    engine = open_engine(order.dsn, connections=1)

    async def progress(done: int, total: int) -> None:
        await table.advance(engine, order.run_id, done, total)

    try:
        await table.finish(engine, order.run_id, await run(order.dsn, order.ask, order.now, progress))
    finally:
        await engine.dispose()


def main() -> None:
    asyncio.run(carry_out(Order.model_validate_json(sys.stdin.read())))


if __name__ == "__main__":
    main()
