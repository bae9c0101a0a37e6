"""Serving an app over HTTP until the process is told to stop: listen, answer, drain, close."""

import asyncio
import contextlib
import errno
import math
import socket
from collections.abc import Callable, Generator

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BACKLOG = 2_048
KEEP_ALIVE_SECONDS = 75  # longer than gateways keep an idle connection: they, not we, decide when it ends
DRAIN_SECONDS = 10.0  # twice as long as a read waits for what it was asked to show


class ListenError(Exception):
    """The address cannot be listened on; the message names it and the setting to change."""


class PortInUseError(ListenError):
    """Another program listens on the port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} of {host} is in use by another program: stop that one, or set KEYFOLD_PORT to a free port"
        )


async def serve_http(
    app: ASGIApp,
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    on_ready: Callable[[str], None],
    draining: asyncio.Event,
    unready_seconds: float = 0.0,
    drain_seconds: float = DRAIN_SECONDS,
    proxies: str = "127.0.0.1",
) -> None:
    """Until `stop`; then `draining` is set and for `unready_seconds` everything is still answered, each answer closing its
    connection: time for a gateway to see that it is not ready. Then nothing new is accepted, and requests in flight have
    `drain_seconds` to finish.

    `on_ready` is called with the address (`http://127.0.0.1:8080`) when requests are answered; port 0 takes a free one.
    `proxies`: whose X-Forwarded-For is believed. The app's lifespan is not run: what it needs is open already. Signals are the
    caller's affair, and so is the event loop (uvloop). Cancelled, it drains all the same; cancelled again, it breaks off.
    Raises ListenError, PortInUseError.
    """
    sockets = listen(host, port)
    try:
        server = _Server(
            _config(_closing(app, draining), drain_seconds, proxies), lambda: on_ready(_address(host, sockets[0]))
        )
        serving = asyncio.create_task(server.serve(sockets), name="http")
        stopping = asyncio.create_task(stop.wait(), name="http stop")
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            draining.set()
            if unready_seconds:
                await asyncio.wait({serving}, timeout=unready_seconds)
        finally:
            stopping.cancel()
            draining.set()
            server.should_exit = True
            await serving
            # The server does not wait for what it breaks off; what they use is closed after us.
            await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
    finally:
        for one in sockets:
            one.close()


def _closing(app: ASGIApp, draining: asyncio.Event) -> ASGIApp:
    """Once `draining` is set, every answer ends its connection: whoever comes back makes a new one, elsewhere."""

    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if draining.is_set() and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await app(scope, receive, answer)

    return closing


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of the host, all on one port; 0 takes a free one. Raises ListenError, PortInUseError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(f"{host!r} is no address of this machine ({error}); change KEYFOLD_HOST") from None
    sockets: list[socket.socket] = []
    try:
        absent: OSError | None = None
        for family, address in dict.fromkeys((one[0], one[4]) for one in found):
            chosen = sockets[0].getsockname()[1] if sockets else port
            try:
                sockets.append(_listen(family, (address[0], chosen, *address[2:])))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise _explained(error, host, chosen) from None
                absent = error  # `localhost` may have an IPv6 address where the machine has none
        if not sockets:
            raise _explained(absent or OSError("no address"), host, port)
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets


def _listen(family: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last run may still linger
        made.bind(address)
        made.listen(BACKLOG)  # at once: two may be bound to one port, only one can listen
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def _explained(error: OSError, host: str, port: int) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(host, port)
    if error.errno == errno.EACCES:
        return ListenError(f"listening on port {port} of {host} is not permitted: set KEYFOLD_PORT to one above 1023")
    return ListenError(f"cannot listen on port {port} of {host} ({error.strerror or error}): change KEYFOLD_HOST")


def _address(host: str, listening: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


def _config(app: ASGIApp, drain_seconds: float, proxies: str) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,  # the process has a log already
        access_log=False,
        server_header=False,
        forwarded_allow_ips=proxies,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(drain_seconds),
    )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()
