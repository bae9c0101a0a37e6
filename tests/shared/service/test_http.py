"""Serving over HTTP: the port, the address that is told, and how requests in flight end."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from shared.service.http import ListenError, PortInUseError, listen, serve_http


class App:
    """Answers when `go` is set; `begun` tells that a request is in flight."""

    def __init__(self) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            self.begun.set()
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                await self.go.wait()  # it takes its time to give back what it holds
                raise
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


class Serving:
    def __init__(self, app: App) -> None:
        self.app = app
        self.stop, self.draining = asyncio.Event(), asyncio.Event()
        self.address = ""


@contextlib.asynccontextmanager
async def serving(host: str = "127.0.0.1", **options: Any) -> AsyncIterator[tuple[Serving, Any]]:
    it = Serving(App())
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    tell: Callable[[str], None] = ready.set_result
    task = asyncio.create_task(serve_http(it.app, host, 0, it.stop, on_ready=tell, draining=it.draining, **options))
    both: set[asyncio.Future[Any]] = {task, ready}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    it.address = await ready
    try:
        yield it, task
    finally:
        it.stop.set()
        it.app.go.set()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_free_port_is_taken_and_told() -> None:
    async with serving() as (it, _), httpx.AsyncClient() as client:
        assert it.address.startswith("http://127.0.0.1:")
        assert (await client.get(it.address)).text == "done"


async def test_it_listens_on_ipv6_too() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with serving("::1") as (it, _), httpx.AsyncClient() as client:
        assert it.address.startswith("http://[::1]:")
        assert (await client.get(it.address)).text == "done"


async def test_a_name_is_listened_on_at_all_its_addresses_on_one_port() -> None:
    sockets = listen("localhost", 0)
    try:
        assert len({one.getsockname()[1] for one in sockets}) == 1
    finally:
        for one in sockets:
            one.close()


@pytest.mark.parametrize("taken_on", ["127.0.0.1", "0.0.0.0"])
async def test_a_port_in_use_is_named_with_the_setting_to_change(taken_on: str) -> None:
    with socket.create_server((taken_on, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError) as refused:
            await serve_http(App(), "127.0.0.1", port, asyncio.Event(), on_ready=pytest.fail, draining=asyncio.Event())
    for part in (str(port), "127.0.0.1", "KEYFOLD_PORT"):
        assert part in str(refused.value)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "x" * 300])
async def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(ListenError, match="KEYFOLD_HOST"):
        listen(host, 0)


async def test_a_request_in_flight_is_answered_before_it_stops() -> None:
    async with serving() as (it, task), httpx.AsyncClient() as client:
        slow = asyncio.create_task(client.get(f"{it.address}/slow"))
        await it.app.begun.wait()
        it.stop.set()
        await it.draining.wait()
        assert not task.done()
        it.app.go.set()
        assert (await slow).text == "done"
        await task
        with pytest.raises(httpx.ConnectError):
            await client.get(it.address)


async def test_a_request_that_does_not_end_is_broken_off() -> None:
    async with serving(drain_seconds=0.5) as (it, task), httpx.AsyncClient() as client:
        slow = asyncio.create_task(client.get(f"{it.address}/slow"))
        await it.app.begun.wait()
        it.stop.set()
        await it.app.cancelled.wait()
        await asyncio.wait({task}, timeout=0.2)
        assert not task.done(), "what the request uses must not be closed before it is gone"
        it.app.go.set()
        await asyncio.wait_for(task, 5)
        await asyncio.gather(slow, return_exceptions=True)


async def test_cancelled_it_drains_all_the_same() -> None:
    async with serving() as (it, task), httpx.AsyncClient() as client:
        slow = asyncio.create_task(client.get(f"{it.address}/slow"))
        await it.app.begun.wait()
        task.cancel()
        await it.draining.wait()
        it.app.go.set()
        assert (await slow).text == "done"
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_an_idle_connection_does_not_hold_it_up() -> None:
    async with serving(drain_seconds=60) as (it, task), httpx.AsyncClient() as client:
        await client.get(it.address)
        it.stop.set()
        await asyncio.wait_for(task, 5)


async def test_told_to_stop_it_goes_on_answering_until_a_gateway_has_seen_it() -> None:
    async with serving(unready_seconds=0.6) as (it, task), httpx.AsyncClient() as client:
        assert "connection" not in (await client.get(it.address)).headers
        it.stop.set()
        await it.draining.wait()
        answers = [await client.get(it.address) for _ in range(3)]
        assert [(one.text, one.headers["connection"]) for one in answers] == [("done", "close")] * 3
        await asyncio.wait_for(task, 5)
        with pytest.raises(httpx.ConnectError):
            await client.get(it.address)


async def test_an_answer_that_was_begun_before_closes_its_connection_too() -> None:
    async with serving(unready_seconds=0.6) as (it, _), httpx.AsyncClient() as client:
        slow = asyncio.create_task(client.get(f"{it.address}/slow"))
        await it.app.begun.wait()
        it.stop.set()
        await it.draining.wait()
        it.app.go.set()
        assert (await slow).headers["connection"] == "close"


async def test_cancelled_while_unready_it_waits_for_nobody() -> None:
    async with serving(unready_seconds=60) as (it, task):
        it.stop.set()
        await it.draining.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
