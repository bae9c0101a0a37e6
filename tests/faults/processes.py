"""Processes that a test starts, listens to, freezes and kills."""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import orjson
from pydantic import BaseModel

from shared.projections.bell import Bell
from tests.faults.chaos import PATIENCE

ROOT = Path(__file__).parents[2]
KEYFOLD = Path(sys.executable).with_name("keyfold")


class EndedError(AssertionError):
    """The process ended although it was still needed."""


class Program:
    """A running process. `counts`: how often it said a line with this first word (of a JSON line: this `event`)."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, output: Path, bell: Bell) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self.said: list[str] = []
        self._process = process
        self._output = output
        self._bell = bell
        self._listening = asyncio.create_task(self._listen(), name=f"listen to {name}")

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    @property
    def crashed(self) -> bool:
        return self._process.returncode == 1

    async def tells(self, word: str, n: int = 1) -> None:
        """Until it has said this for the n-th time. Raises EndedError, TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while self.counts[word] < n:
                if self._listening.done():
                    raise EndedError(f"{self.name} ended before it said {word!r} {n} times:\n{self.last_words()}")
                await self._bell.wait(1.0)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        """Ask it to end; it must do so in order."""
        self._signal(signal.SIGTERM)
        status = await self.ended()
        assert status == 0, f"{self.name} ended with {status}:\n{self.last_words()}"

    async def ended(self) -> int:
        """Wait for its end; the exit status (negative: the signal)."""
        async with asyncio.timeout(PATIENCE):
            await self._listening
            return await self._process.wait()

    async def clear_away(self) -> None:
        if self.running:
            self.kill()
        await self.ended()

    def last_words(self) -> str:
        return "\n".join([*self.said[-5:], self._output.read_text(errors="replace")[-4_000:]])

    def _signal(self, number: int) -> None:
        if self.running:
            self._process.send_signal(number)

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            while line := (await self._process.stdout.readline()).decode(errors="replace").rstrip("\n"):
                word = _word(line)
                self.counts[word] += 1
                if self.counts[word] < 100:  # acknowledgements are counted, not kept
                    self.said.append(line)
                self._bell.ring()
        finally:
            await self._process.wait()
            self._bell.ring()


def _word(line: str) -> str:
    if line.startswith("{"):
        try:
            return str(orjson.loads(line).get("event", ""))
        except orjson.JSONDecodeError:
            return ""
    return line.split(" ", 1)[0]


class Processes:
    """Starts programs; `bell` rings at every line that one of them says and at every end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bell = Bell()
        self.all: list[Program] = []

    async def start(self, program: str, name: str, options: BaseModel) -> Program:
        """One of tests/faults/programs, with its options."""
        command = [sys.executable, "-m", f"tests.faults.programs.{program}", options.model_dump_json()]
        return await self._start(command, name, {})

    async def keyfold(self, name: str, *arguments: str, **environment: str) -> Program:
        return await self._start([str(KEYFOLD), *arguments], name, environment)

    async def _start(self, command: list[str], name: str, environment: dict[str, str]) -> Program:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("KEYFOLD_")}
        clean |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
        output = self.folder / f"{name}-{len(self.all)}.err"
        merged = asyncio.subprocess.STDOUT if command[0] == str(KEYFOLD) else None
        with output.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=clean | environment,
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=merged or errors,
                limit=1024 * 1024,
            )
        self.all.append(Program(name, process, output, self.bell))
        return self.all[-1]

    def check(self) -> None:
        """Raises EndedError when one has ended with an error of its own: then there is nothing to wait for."""
        for program in self.all:
            if program.crashed:
                raise EndedError(f"{program.name} has ended with an error:\n{program.last_words()}")

    async def clear_away(self) -> None:
        for program in self.all:
            await program.clear_away()
