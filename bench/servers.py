"""Real servers for the benchmark, made when first needed: PostgreSQL, Kafka, child processes, the library's process."""

import asyncio
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.kit.postgres_server import start_postgres

ROOT = Path(__file__).parents[1]
LIBRARY_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
KEYFOLD = Path(sys.executable).with_name("keyfold")
STOP_SECONDS = 30.0


class PeerMissing(RuntimeError):
    """The peer's environment or server is not there; the message says how to get it."""


class Servers:
    """Everything is stopped and thrown away at the end of `open_servers`. `postgres`: a server that is there already."""

    def __init__(self, stack: AsyncExitStack, folder: Path, postgres: str | None = None) -> None:
        self.folder = folder
        self._stack = stack
        self._postgres = postgres
        self._kafka: str | None = None
        self._numbers = 0

    async def postgres(self) -> str:
        """The address of the server's maintenance database: settings are PostgreSQL's own defaults, so it is durable."""
        if self._postgres is None:
            server = await asyncio.to_thread(start_postgres, self.folder / "postgres")
            self._stack.push_async_callback(asyncio.to_thread, server.stop)
            self._postgres = server.dsn()
        return self._postgres

    async def database(self, label: str) -> str:
        """A fresh database; its address."""
        server = await self.postgres()
        self._numbers += 1
        name = f"bench_{label}_{self._numbers}_{os.getpid()}"
        await _administer(server, f'CREATE DATABASE "{name}" TEMPLATE template0')
        return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))

    async def drop(self, dsn: str) -> None:
        name = urlsplit(dsn).path.removeprefix("/")
        await _administer(await self.postgres(), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def kafka(self) -> str:
        """The bootstrap address of a broker: KEYFOLD_KAFKA, or one from the official jars. Raises PeerMissing."""
        if self._kafka is None:
            self._kafka = os.environ.get("KEYFOLD_KAFKA") or await self._broker()
        return self._kafka

    async def _broker(self) -> str:
        file = ROOT / "deploy" / "kafka" / "broker.py"
        spec = importlib.util.spec_from_file_location("keyfold_kafka_broker", file)
        if spec is None or spec.loader is None:
            raise PeerMissing(f"{file} is not there")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        if missing := module.missing_tools():
            raise PeerMissing(f"Kafka needs {' and '.join(missing)}; or name a broker in KEYFOLD_KAFKA")
        broker = module.Broker(self.folder / "kafka", await asyncio.to_thread(module.fetch_jars))
        self._stack.push_async_callback(asyncio.to_thread, broker.stop)
        return str(await asyncio.to_thread(broker.start))


@asynccontextmanager
async def open_servers(postgres: str | None = None) -> AsyncIterator[Servers]:
    folder = Path(tempfile.mkdtemp(prefix="keyfold-bench-"))
    try:
        async with AsyncExitStack() as stack:
            yield Servers(stack, folder, postgres)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _administer(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@dataclass
class Child:
    """A process that is asked in lines of JSON and answers each with one."""

    process: asyncio.subprocess.Process

    async def ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        await self.process.stdin.drain()
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """Raises RuntimeError when it has ended instead."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"process {self.process.pid} ended with {await self.process.wait()} instead of answering"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def child(*command: str | Path, **environment: str) -> AsyncIterator[Child]:
    """Its standard error goes where ours goes. At the end its input is closed, and it has some time to leave."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=_clean() | environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        yield Child(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await _ended(process)


@asynccontextmanager
async def keyfold(*arguments: str, says: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of Keyfold's, from the line that has `says` in it until it has stopped."""
    process = await asyncio.create_subprocess_exec(
        KEYFOLD,
        *arguments,
        cwd=ROOT,
        # one caller makes all of the load
        env=_clean() | {"COLUMNS": "200", "PYTHONUNBUFFERED": "1", "KEYFOLD_RATE": "0"} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said: list[str] = []
    drain: asyncio.Task[None] | None = None
    try:
        assert process.stdout is not None
        while says not in (said[-1] if said else ""):
            line = (await process.stdout.readline()).decode()
            if not line:
                raise RuntimeError(f"keyfold {' '.join(arguments)} ended without saying {says!r}:\n{''.join(said)}")
            said.append(line)
        drain = asyncio.create_task(_forget(process.stdout))
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        if drain is not None:
            await drain
        await _ended(process)


async def _forget(output: asyncio.StreamReader) -> None:
    """Read on, or it would stand still once the pipe is full."""
    while await output.read(65_536):
        pass


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("KEYFOLD_")}


@asynccontextmanager
async def library(dsn: str) -> AsyncIterator[Child]:
    """The library `eventsourcing` in a process and an environment of its own, on this database. Raises PeerMissing."""
    if not LIBRARY_PYTHON.exists():
        raise PeerMissing(f"{LIBRARY_PYTHON.relative_to(ROOT)} is not there: `make bench` installs it")
    parts = urlsplit(dsn)
    environment = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.removeprefix("/"),
        "POSTGRES_HOST": parts.hostname or "",
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": parts.username or "",
        "POSTGRES_PASSWORD": parts.password or "",
    }
    async with child(LIBRARY_PYTHON, ROOT / "bench" / "peers" / "library.py", **environment) as process:
        yield process
