"""What stands before several APIs, made small: turns, health checks, and another try where nothing was sent yet."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

import httpx

CHECK_SECONDS = 0.2


class NoServerError(Exception):
    """All of them are down: nothing was sent."""


class Gateway:
    """Sends each request to the next API that is up. A connection that is refused marks its API down and another one is tried;
    whatever goes wrong after something was sent is the client's affair, as with any gateway. `surprised`: how often one that was
    up was gone before it had said that it was not ready.
    """

    def __init__(self, ports: Iterable[int], headers: dict[str, str]) -> None:
        self._clients = {
            port: httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60.0)
            for port in ports
        }
        self._up = set(self._clients)
        self._turn = count()
        self.surprised = 0
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def checking(self) -> AsyncIterator[None]:
        """While health is checked, each API on a connection of its own."""
        async with AsyncExitStack() as stack:
            for client in self._clients.values():
                await stack.enter_async_context(client)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            for port in self._clients:
                group.create_task(self._check(port))
            try:
                yield
            finally:
                self._stop.set()

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Raises NoServerError, or the transport's error when a request was lost on its way."""
        for _ in range(2 * len(self._clients)):
            up = sorted(self._up) or sorted(self._clients)
            port = up[next(self._turn) % len(up)]
            try:
                return await self._clients[port].request(method, path, **options)
            except httpx.ConnectError:
                self._gone(port)
        raise NoServerError(f"none of {sorted(self._clients)} takes a connection")

    async def _check(self, port: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5.0) as client:
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), CHECK_SECONDS)
                try:
                    ready = (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    self._gone(port)
                else:
                    (self._up.add if ready else self._up.discard)(port)

    def _gone(self, port: int) -> None:
        self.surprised += port in self._up
        self._up.discard(port)
