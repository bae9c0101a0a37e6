"""The phases of `scaling` in a docker compose project that runs: `python -m bench.composed PROJECT`, in the folder of its file.

KEYFOLD_TOKEN: of a role that may write; POSTGRES_PASSWORD. Containers must be reachable by their addresses, as on a Linux machine
with the engine on it; GATEWAY_REQUESTS_PER_10S must leave room for the load, and KEYFOLD_RATE be 0. Prints the table.
"""

import asyncio
import os
import sys

import uvloop

from bench.going import Lasting
from bench.harness import Bench
from bench.measures.scaling import opened, phases
from bench.report import show
from bench.servers import open_servers

HEALTH = "{{.State.Health.Status}}"
API, WORKER = "opportunity-api", "opportunity-worker"
RELAY = (
    "SELECT host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted "
    "AND application_name = 'keyfold relay' AND datname = 'keyfold_opportunity'"
)


class Composed:
    """A fleet of containers; commands are those that an operator types."""

    def __init__(self, project: str, dsn: str = "") -> None:
        self._project = project
        self.dsn = dsn

    async def scale_workers(self, number: int) -> None:
        await self._scale(WORKER, number)

    async def scale_apis(self, number: int) -> None:
        await self._scale(API, number)

    async def restart_workers(self) -> None:
        for container in await self._containers(WORKER):
            await self._restart(container)

    async def restart_apis(self) -> None:
        for container in await self._containers(API):
            await self._restart(container)

    async def kill_an_api(self) -> None:
        await self._kill((await self._containers(API))[0])

    async def kill_the_relay(self) -> None:
        psql = ("exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "keyfold_opportunity", "-Atc", RELAY)
        address = await self.compose(*psql)
        for container in await self._containers(WORKER):
            if address in (await self.addresses(container)).split():
                return await self._kill(container)
        raise RuntimeError(f"no worker holds the relay's lease ({address or 'nobody'})")

    async def compose(self, *words: str) -> str:
        return await _docker("compose", "-p", self._project, *words)

    async def addresses(self, container: str) -> str:
        return await _docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", container)

    async def _containers(self, service: str) -> list[str]:
        return (await self.compose("ps", "-q", service)).split()

    async def _scale(self, service: str, number: int) -> None:
        words = ("up", "-d", "--wait", "--no-deps", "--no-recreate", "--scale", f"{service}={number}", service)
        await self.compose(*words)

    async def _restart(self, container: str) -> None:
        await _docker("restart", container)
        await self._healthy(container)

    async def _kill(self, container: str) -> None:
        await _docker("kill", container)
        await _docker("start", container)
        await self._healthy(container)

    async def _healthy(self, container: str) -> None:
        while await _docker("inspect", "-f", HEALTH, container) != "healthy":  # noqa: ASYNC110 — it is the engine that knows
            await asyncio.sleep(0.5)


async def _docker(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "docker", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"docker {' '.join(words)} ended with {process.returncode}:\n{errors.decode()}")
    return out.decode().strip()


async def main(project: str, token: str, password: str) -> None:
    fleet = Composed(project)
    [postgres] = (await fleet.compose("ps", "-q", "postgres")).split()
    address = (await fleet.addresses(postgres)).split()[0]
    fleet.dsn = f"postgresql://postgres:{password}@{address}/keyfold_opportunity"
    port = int((await fleet.compose("port", "gateway", "8080")).rsplit(":", 1)[1])
    client = Lasting(port, token, "/opportunity")
    async with open_servers() as servers:
        bench = Bench(servers)
        await fleet.scale_apis(1)
        await fleet.scale_workers(1)
        rows = await phases(bench, fleet, client, await opened(client, 200))
    client.close()
    show(rows)
    print(f"load at the end: {', '.join(f'{one:.1f}' for one in os.getloadavg())}")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], os.environ["KEYFOLD_TOKEN"], os.environ["POSTGRES_PASSWORD"]))
