"""A lean HTTP client for load: keep-alive connections, nothing decoded but status and length. It shares the machine with what it
measures, so it has to cost little."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: bytes
    body: bytes

    def header(self, name: str) -> str:
        """Its value; empty when it is not there."""
        wanted = name.lower().encode() + b":"
        for line in self.headers.split(b"\r\n"):
            if line[: len(wanted)].lower() == wanted:
                return line[len(wanted) :].strip().decode("latin-1")
        return ""


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by name

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        headers = bytes(self._received[:end])
        length = int(Answer(0, headers, b"").header("content-length") or 0)
        if len(self._received) < end + 4 + length or self._answer is None or self._answer.done():
            return
        body = bytes(self._received[end + 4 : end + 4 + length])
        self._received.clear()
        self._answer.set_result(Answer(int(headers[9:12]), headers, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    async def send(self, request: bytes) -> Answer:
        """Raises OSError when the connection breaks before there is an answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@dataclass
class Client:
    """A pool of connections to one server: who finds none free waits for one."""

    host: str
    port: int
    token: str
    _free: asyncio.Queue[Connection] = field(default_factory=asyncio.Queue)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._send(request_of(self.host, self.token, "GET", path, b"", headers))

    async def post(self, path: str, body: bytes, **headers: str) -> Answer:
        return await self._send(request_of(self.host, self.token, "POST", path, body, headers))

    async def _send(self, request: bytes) -> Answer:
        connection = await self._free.get()
        try:
            return await connection.send(request)
        finally:
            self._free.put_nowait(connection)


def request_of(host: str, token: str, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Names of `headers` have underscores for hyphens."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    )
    return head.encode() + body


@asynccontextmanager
async def open_client(host: str, port: int, token: str, connections: int) -> AsyncIterator[Client]:
    client = Client(host, port, token)
    loop = asyncio.get_running_loop()
    made: list[Connection] = []
    try:
        for _ in range(connections):
            _, connection = await loop.create_connection(Connection, host, port)
            made.append(connection)
            client._free.put_nowait(connection)  # noqa: SLF001 — of this module
        yield client
    finally:
        for one in made:
            one.close()


def expect(answer: Answer, status: int) -> Answer:
    """Raises RuntimeError for another status: a figure of errors is no figure."""
    if answer.status != status:
        raise RuntimeError(f"{answer.status} instead of {status}: {answer.body[:500]!r}")
    return answer
