"""Tell other processes that something was appended: NOTIFY, outside of the append itself, and not for
every event.
"""

import asyncio
from typing import Any

import asyncpg
import structlog

log = structlog.get_logger(__name__)

CHANNEL = "keyfold_appended"
# A notification that is lost with a crash is no loss: it need not be flushed to disk, as every transaction that notifies is.
NOTIFY = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, '')"
INTERVAL = 0.025  # seconds between two notifications: NOTIFY takes a lock that all databases of the server share


class Notifier:
    """Whoever listens polls as well, so a notification may be lost; it may not be waited for."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def appended(self) -> None:
        self._due.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="notifier")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._pool.execute(NOTIFY, CHANNEL)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                log.warning("other processes could not be woken; they poll", error=str(error))
            await asyncio.sleep(INTERVAL)
