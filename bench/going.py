"""Load that goes on through whatever happens: commands with keys and the reads that show them, plain reads beside them, at their
times. What went wrong is asked again, under the same key, and counted by kind."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import asyncpg

from bench.client import Answer, Connection, request_of

Kind = Literal["command", "visible", "read"]
AGAIN_SECONDS = 0.1
LOOK_SECONDS = 0.02
CONNECTIONS = 48
MOST = 400  # on their way: who comes then is turned away here, and counted
CURSOR = "SELECT r.position, h.position FROM store.relay r, store.head h"


class Lasting:
    """A client whose connections are made anew when the server has closed them."""

    def __init__(self, port: int, token: str, prefix: str = "") -> None:
        self._port = port
        self._prefix = prefix
        self._token = token
        self._free: list[Connection] = []
        self._room = asyncio.Semaphore(CONNECTIONS)

    async def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Raises OSError."""
        async with self._room:
            while self._free and self._free[-1].closed:
                self._free.pop()
            connection = self._free.pop() if self._free else await self._open()
            answer = await connection.send(
                request_of("127.0.0.1", self._token, method, self._prefix + path, body, headers)
            )
            self._free.append(connection)
            return answer

    def close(self) -> None:
        for connection in self._free:
            connection.close()

    async def _open(self) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self._port)
        return connection


@dataclass(frozen=True, slots=True)
class Done:
    """`due` and `done`: times of the loop. `troubles`: what was answered instead before it went well."""

    kind: Kind
    due: float
    done: float
    troubles: tuple[str, ...]


@dataclass
class Going:
    """The load of `rate` commands a second, each looked for with its position, and as many plain reads."""

    client: Lasting
    paths: list[str]
    rate: float
    name: str
    done: list[Done] = field(default_factory=list)
    sent: int = 0
    unsent: int = 0
    under_way: int = 0
    stalls: list[tuple[float, float]] = field(default_factory=list)

    @asynccontextmanager
    async def on(self, dsn: str) -> AsyncIterator[None]:
        """At the end all that was begun is finished."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pace(group, stop, self._command))
            group.create_task(self._pace(group, stop, self._read))
            group.create_task(self._watch_relay(stop, dsn))
            try:
                yield
            finally:
                stop.set()

    async def _pace(
        self, group: asyncio.TaskGroup, stop: asyncio.Event, act: Callable[[float], Coroutine[Any, Any, None]]
    ) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            if self.under_way < MOST:
                group.create_task(act(due))
            else:
                self.unsent += 1
            due += 1 / self.rate
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _command(self, due: float) -> None:
        self.sent += 1
        path, key = self.paths[self.sent % len(self.paths)], f"{self.name}-{self.sent}"
        body = json.dumps({"text": f"remark {key}."}).encode()
        answer = await self._until_done("command", due, "POST", f"{path}/comments", body, Idempotency_Key=key)
        token = answer.header("Keyfold-Position")
        await self._until_done("visible", due, "GET", f"{path}/history?limit=1", b"", Keyfold_Position=token)

    async def _read(self, due: float) -> None:
        await self._until_done("read", due, "GET", "/opportunities?limit=5", b"")

    async def _until_done(self, kind: Kind, due: float, method: str, path: str, body: bytes, **headers: str) -> Answer:
        self.under_way += 1
        try:
            return await self._asked(kind, due, method, path, body, headers)
        finally:
            self.under_way -= 1

    async def _asked(
        self, kind: Kind, due: float, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> Answer:
        loop, troubles = asyncio.get_running_loop(), list[str]()
        while True:
            try:
                answer = await self.client.send(method, path, body, **headers)
            except OSError as error:
                troubles.append(type(error).__name__)
            else:
                if answer.status == 200:
                    self.done.append(Done(kind, due, loop.time(), tuple(troubles)))
                    return answer
                if answer.status not in (409, 502, 503, 504):
                    raise RuntimeError(f"{method} {path}: {answer.status} {answer.body[:500]!r}")
                troubles.append(str(answer.status))
            await asyncio.sleep(AGAIN_SECONDS)

    async def _watch_relay(self, stop: asyncio.Event, dsn: str) -> None:
        """How long the cursor stood still each time while there was something to publish: (when it moved again, seconds)."""
        loop = asyncio.get_running_loop()
        connection = await asyncpg.connect(dsn)
        try:
            was, since = -1, loop.time()
            while not stop.is_set():
                at, head = (await connection.fetch(CURSOR))[0]
                now = loop.time()
                if at != was or at == head:
                    if was >= 0 and at != was:
                        self.stalls.append((now, now - since))
                    was, since = at, now
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await connection.close()


@dataclass(frozen=True, slots=True)
class Phase:
    """What was due from `begun` to `ended` (times of the loop)."""

    what: str
    begun: float
    ended: float
    done: tuple[Done, ...]
    stall: float

    @property
    def seconds(self) -> float:
        return self.ended - self.begun

    def taken(self, kind: Kind) -> list[float]:
        return [one.done - one.due for one in self.done if one.kind == kind]

    @property
    def gap(self) -> float:
        """The longest time without a plain read that was answered, in seconds."""
        times = sorted([self.begun, *(one.done for one in self.done if one.kind == "read"), self.ended])
        return max(after - before for before, after in pairwise(times))

    @property
    def troubles(self) -> str:
        found = Counter(f"{one.kind} {trouble}" for one in self.done for trouble in one.troubles)
        return ", ".join(f"{times} × {what}" for what, times in sorted(found.items())) or "none"


def phase_of(going: Going, what: str, begun: float, ended: float) -> Phase:
    within = tuple(one for one in going.done if begun <= one.due < ended)
    stall = max((seconds for at, seconds in going.stalls if begun <= at < ended), default=0.0)
    return Phase(what, begun, ended, within, stall)
