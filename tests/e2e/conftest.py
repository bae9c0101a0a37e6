"""Keyfold as its users start it: processes of their own, talked to over HTTP and the command line."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

KEYFOLD = Path(sys.executable).with_name("keyfold")
SECONDS = 60.0


@dataclass
class Started:
    """A process with what it has said so far."""

    process: asyncio.subprocess.Process
    said: list[str] = field(default_factory=list)

    async def says(self, text: str) -> str:
        """Wait for a line with this text; fails when the process ends without it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while line := (await self.process.stdout.readline()).decode():
                self.said.append(line)
                if text in line:
                    return line
        pytest.fail(f"it ended without saying {text!r}:\n{''.join(self.said)}")

    async def ends(self) -> int:
        """Wait for its end; the exit code."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            self.said += (await self.process.stdout.read()).decode().splitlines(keepends=True)
            return await self.process.wait()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return await self.ends()

    @property
    def output(self) -> str:
        return "".join(self.said)


Start = Callable[..., Awaitable[Started]]


@pytest_asyncio.fixture(loop_scope="session")
async def start() -> AsyncIterator[Start]:
    """`await start("up", KEYFOLD_PORT="8081")`; what still runs at the end is killed."""
    running: list[Started] = []

    async def start_one(*arguments: str, **environment: str) -> Started:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KEYFOLD_")}
        process = await asyncio.create_subprocess_exec(
            KEYFOLD,
            *arguments,
            env=clean | {"COLUMNS": "200", "PYTHONUNBUFFERED": "1"} | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        running.append(Started(process))
        return running[-1]

    yield start_one
    for one in running:
        if one.process.returncode is None:
            one.process.kill()
            await one.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
