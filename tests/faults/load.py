"""Load: client processes that command through the event store, and the journals in which they note every answer before they
go on. What a journal says is the truth that the checker holds everything else against.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, Field

from tests.faults.chaos import PATIENCE, Chaos
from tests.faults.processes import EndedError, Processes, Program

THINK = 0.01  # seconds: a quick form leaves the machine to the processes that start meanwhile


KEYED = ("count", "pair", "open")


class CallerOptions(BaseModel):
    """`mix`: how to write → how often, of `count` (a keyed command), `pair` (one on two lines), `open` (one that begins a line of
    its own and is refused the second time), `race` (an asserted version, no command id), `bulk`, `graded` (raw, v2 of its event).
    `count` 0: until it is stopped. `bad`: share of counts that are bad. `think`: seconds between two commands of a task.
    `finish`: journals of others, whose keyed commands are asked once more: all without an answer, many that had one.
    """

    dsn: str
    topic: str
    journal: str
    name: str
    seed: int
    lines: list[str]
    tasks: int = 8
    count: int = 0
    mix: dict[str, int] = Field(default_factory=lambda: {"count": 1})
    bad: float = 0.0
    think: float = 0.01
    finish: list[str] = Field(default_factory=list)


class Asked(BaseModel):
    """A command as it was sent; it may have been carried out even if no answer is on record."""

    key: str
    caller: str
    kind: str
    lines: list[str]
    n: int
    bad: bool = False


class Acknowledged(BaseModel):
    """An answer: positions, versions by line, and what the command answered (none: no command id was given)."""

    key: str
    first: int
    last: int
    versions: dict[str, int]
    answer: dict[str, Any] | None = None
    replayed: bool = False


@dataclass
class Journal:
    """What callers have asked and been answered, by the key of the command."""

    asked: dict[str, Asked] = field(default_factory=dict)
    acknowledged: dict[str, list[Acknowledged]] = field(default_factory=dict)

    @property
    def answers(self) -> int:
        return sum(map(len, self.acknowledged.values()))


def read_journals(paths: Iterable[Path]) -> Journal:
    journal = Journal()
    for path in paths:
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            if not line.endswith(b"\n"):  # its writer was killed at it: nothing had been answered to anybody
                continue
            entry: Mapping[str, Any] = orjson.loads(line)
            if "asked" in entry:
                one = Asked.model_validate(entry["asked"])
                journal.asked.setdefault(one.key, one)
            else:
                ack = Acknowledged.model_validate(entry["acknowledged"])
                journal.acknowledged.setdefault(ack.key, []).append(ack)
    return journal


@dataclass
class Load:
    """The callers of one test. Names are never used again, so neither are keys."""

    processes: Processes
    dsn: str
    topic: str
    chaos: Chaos
    callers: list[Program] = field(default_factory=list)
    journals: list[Path] = field(default_factory=list)

    async def start(self, lines: Sequence[str], **options: Any) -> Program:
        name = f"caller{len(self.callers)}"
        journal = self.processes.folder / f"{name}.journal"
        made = CallerOptions(
            dsn=self.dsn,
            topic=self.topic,
            journal=str(journal),
            name=name,
            seed=self.chaos.dice.randrange(2**32),
            lines=list(lines),
            **{"think": THINK / self.chaos.strength**3} | options,
        )
        self.journals.append(journal)
        started = await self.processes.start("caller", name, made)
        self.callers.append(started)
        await started.tells("calling")
        return started

    @property
    def acks(self) -> int:
        return sum(caller.counts["ack"] for caller in self.callers)

    @property
    def living(self) -> list[Program]:
        return [caller for caller in self.callers if caller.running]

    async def reaches(self, acks: int) -> None:
        """Until so many answers have been given, to all callers together."""
        async with asyncio.timeout(PATIENCE):
            while self.acks < acks:
                if not self.living:
                    words = "\n".join(caller.last_words() for caller in self.callers)
                    raise EndedError(f"all callers ended after {self.acks} of {acks} answers:\n{words}")
                await self.processes.bell.wait(1.0)

    async def more(self, acks: int) -> None:
        """Until so many answers more than now have been given."""
        await self.reaches(self.acks + acks)

    async def stop(self) -> Journal:
        """Let everybody finish; what all of them have noted."""
        for caller in self.living:
            await caller.stop()
        return self.journal()

    async def ended(self) -> Journal:
        """Until everybody has ended by itself."""
        for caller in self.living:
            status = await caller.ended()
            assert status == 0, f"{caller.name} ended with {status}:\n{caller.last_words()}"
        return self.journal()

    async def finish(self) -> Journal:
        """From another process, ask once more under the same keys: for all that nobody has an answer to, and much else."""
        await self.start([], finish=[str(path) for path in self.journals])
        return await self.ended()

    def journal(self) -> Journal:
        journal = read_journals(self.journals)
        self.chaos.acks = journal.answers
        return journal
