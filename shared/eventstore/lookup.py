"""Looking up commands, many at a time: nearly every command asks, and nearly every answer is "not seen before"."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from shared.eventstore.types import CommandRecord

Fetch = Callable[[list[str]], Awaitable[Mapping[str, CommandRecord]]]


class CommandLookup:
    """While one query is under way the next questions gather, and then go together. Every question is answered by a query
    that began after it was asked."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._waiting: dict[str, list[asyncio.Future[CommandRecord | None]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def find(self, command_id: str) -> CommandRecord | None:
        found: asyncio.Future[CommandRecord | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(command_id, []).append(found)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="command lookup")
        return await found

    async def _run(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                await self._answer(asked)
        finally:
            self._task = None

    async def _answer(self, asked: dict[str, list[asyncio.Future[CommandRecord | None]]]) -> None:
        try:
            records = await self._fetch(list(asked))
        except BaseException as error:
            failure = error if isinstance(error, Exception) else ConnectionError("the store was closed")
            for future in (future for futures in asked.values() for future in futures if not future.done()):
                future.set_exception(failure)
            if failure is not error:
                raise
            return
        for command_id, futures in asked.items():
            for future in futures:
                if not future.done():
                    future.set_result(records.get(command_id))
