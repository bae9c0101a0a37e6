"""APIs and workers of the opportunity service as processes behind HAProxy: as many of each as one wants, restarted and killed."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from bench.apart import migrated
from bench.harness import Bench
from bench.ports import free_port
from bench.servers import PeerMissing, keyfold
from shared.relay.lease import SESSION

SERVICE = "opportunity"
SLOTS = 2  # APIs that the gateway knows
CONNECT_SECONDS = 10.0

# As deploy/haproxy has it, but for how APIs are found: never a request twice, health every second, a connection a request.
GATEWAY = """\
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 120s
    timeout queue 10s
    timeout check 3s
    retries 3
    retry-on conn-failure
    option redispatch 1
    option http-server-close
frontend gateway
    bind 127.0.0.1:{port}
    default_backend api
backend api
    balance leastconn
    option httpchk GET /readyz
{servers}
"""


class Member:
    """A process; `pid` for signals."""

    def __init__(self, process: asyncio.subprocess.Process, stack: AsyncExitStack) -> None:
        self._process = process
        self._stack = stack

    @property
    def pid(self) -> int:
        return self._process.pid

    async def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        await self._stack.aclose()

    async def kill(self) -> None:
        self._process.kill()
        await self._stack.aclose()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)


@dataclass
class Fleet:
    """`port`: of the gateway. `apis`: by the port that each has."""

    port: int
    token: str
    dsn: str
    environment: dict[str, str]
    slots: list[int]
    apis: dict[int, Member] = field(default_factory=dict)
    workers: list[Member] = field(default_factory=list)

    async def scale_workers(self, number: int) -> None:
        """All at once."""
        more = [self._start("work", '"working"', 0) for _ in range(number - len(self.workers))]
        self.workers += await asyncio.gather(*more)
        fewer, self.workers = self.workers[number:], self.workers[:number]
        await asyncio.gather(*(worker.stop() for worker in fewer))

    async def scale_apis(self, number: int) -> None:
        for port in self.slots[:number]:
            if port not in self.apis:
                self.apis[port] = await self._start("serve", '"ready"', port)
        for port in self.slots[number:]:
            if port in self.apis:
                await self.apis.pop(port).stop()

    async def restart_workers(self) -> None:
        """One after the other: stopped, then started."""
        for worker in list(self.workers):
            await worker.stop()
            self.workers.remove(worker)
            self.workers.append(await self._start("work", '"working"', 0))

    async def restart_apis(self) -> None:
        for port in list(self.apis):
            await self.apis[port].stop()
            self.apis[port] = await self._start("serve", '"ready"', port)

    async def kill_the_relay(self) -> None:
        """The worker that publishes, with SIGKILL. Another one is started at once."""
        holder = await self._lease_holder()
        await holder.kill()
        self.workers.remove(holder)
        self.workers.append(await self._start("work", '"working"', 0))

    async def kill_an_api(self) -> None:
        port = next(iter(self.apis))
        await self.apis[port].kill()
        self.apis[port] = await self._start("serve", '"ready"', port)

    async def close(self) -> None:
        await asyncio.gather(*(member.stop() for member in (*self.workers, *self.apis.values())))

    async def _start(self, what: str, says: str, port: int) -> Member:
        stack = AsyncExitStack()
        environment = self.environment | {"KEYFOLD_PORT": str(port)}
        return Member(await stack.enter_async_context(keyfold(what, SERVICE, says=says, **environment)), stack)

    async def _lease_holder(self) -> Member:
        connection = await asyncpg.connect(self.dsn)
        try:
            port = await connection.fetchval(
                "SELECT a.client_port FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
                "WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = $1 "
                "AND a.datname = current_database()",
                SESSION["application_name"],
            )
        finally:
            await connection.close()
        for worker in self.workers:
            if port in {one.laddr.port for one in psutil.Process(worker.pid).net_connections("tcp")}:
                return worker
        raise RuntimeError(f"no worker holds the relay's lease (port {port})")


@asynccontextmanager
async def open_fleet(bench: Bench) -> AsyncIterator[Fleet]:
    """With an API and a worker. Raises PeerMissing."""
    if shutil.which("haproxy") is None:
        raise PeerMissing("haproxy is not there: `apt-get install haproxy`")
    slots = [free_port() for _ in range(SLOTS)]
    async with migrated(bench) as (environment, token), _gateway(bench.servers.folder, slots) as port:
        dsn = environment["KEYFOLD_DATABASE_URL"].rsplit("/", 1)[0] + f"/keyfold_{SERVICE}"
        fleet = Fleet(port, token, dsn, environment, slots)
        try:
            await fleet.scale_apis(1)
            await fleet.scale_workers(1)
            yield fleet
        finally:
            await fleet.close()


@asynccontextmanager
async def _gateway(folder: Path, slots: list[int]) -> AsyncIterator[int]:
    port = free_port()
    servers = "\n".join(f"    server api{one} 127.0.0.1:{one} check inter 1s fall 2 rise 1" for one in slots)
    file = folder / "haproxy.cfg"
    file.write_text(GATEWAY.format(port=port, servers=servers))
    process = await asyncio.create_subprocess_exec(
        "haproxy", "-db", "-q", "-f", file, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            while not await _answers(port):  # noqa: ASYNC110 — it is another program's port
                await asyncio.sleep(0.05)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
