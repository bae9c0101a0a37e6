"""A client: commands through the event store, many at once, and notes every answer before it goes on."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import orjson
import uvloop

from shared.contracts.refusal import RefusedError
from shared.eventstore.appender import LOST
from shared.eventstore.commands import CommandContext, Commands, Outcome
from shared.eventstore.store import EventStore
from shared.eventstore.types import Appended, AppendRequest, Pending, StoreBusyError, VersionConflictError
from shared.kit.clock import SystemClock
from shared.kit.ids import new_id
from tests.faults.load import KEYED, Acknowledged, Asked, CallerOptions, read_journals
from tests.faults.tally import TALLY, Counted, Graded, count, stream, use_topic

AGAIN = 400
SECRET = b"a secret of these tests"
# After these a client does not know whether it was done, or knows that it was not: it asks again, under the same key.
UNANSWERED = (*LOST, asyncpg.PostgresError, TimeoutError, StoreBusyError, VersionConflictError)


class Caller:
    def __init__(self, options: CallerOptions, store: EventStore) -> None:
        self._options = options
        self._store = store
        self._clock = SystemClock()
        self._commands = Commands(store, SECRET, self._clock)
        self._dice = random.Random(options.seed)
        self._journal = os.open(options.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._number = 0
        self._answered: list[Asked] = []
        self.stop = asyncio.Event()
        self._ways: dict[str, Callable[[Asked], Awaitable[bool]]] = {
            "count": self._command,
            "pair": self._command,
            "open": self._command,
            "race": self._race,
            "bulk": self._bulk,
            "graded": self._race,
        }

    async def run(self) -> None:
        if self._options.finish:
            await self._finish()
        if self._options.lines:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._options.tasks):
                    group.create_task(self._call())

    async def _call(self) -> None:
        while not self.stop.is_set() and not (self._options.count and self._number >= self._options.count):
            if self._answered and self._dice.random() < 0.05:
                await self._command(self._dice.choice(self._answered))  # a client that did not get the answer
                continue
            asked = self._next()
            self._note("asked", asked)
            await asyncio.sleep(self._options.think)
            await self._ways[asked.kind](asked)

    def _next(self) -> Asked:
        options, dice = self._options, self._dice
        self._number += 1
        kind = dice.choices(list(options.mix), list(options.mix.values()))[0]
        lines = dice.sample(options.lines, min(2 if kind in ("pair", "bulk") else 1, len(options.lines)))
        bad = kind == "count" and dice.random() < options.bad
        key = f"{options.name}-{self._number}"
        lines = [f"opened-{key}"] if kind == "open" else lines
        return Asked(key=key, caller=options.name, kind=kind, lines=lines, n=dice.randrange(1, 1_000), bad=bad)

    async def _finish(self) -> None:
        """Others' keyed commands once more, all that have no answer and many that have: each is done then, and was done once."""
        journal = read_journals(Path(path) for path in self._options.finish)
        keyed = [asked for asked in journal.asked.values() if asked.kind in KEYED]
        self._dice.shuffle(keyed)
        keyed.sort(key=lambda asked: asked.key in journal.acknowledged)
        keyed = keyed[: len(journal.asked.keys() - journal.acknowledged.keys()) + AGAIN]
        for start in range(0, len(keyed), 64):
            await asyncio.gather(*(self._command(asked) for asked in keyed[start : start + 64]))

    async def _command(self, asked: Asked) -> bool:
        """Until there is an answer."""
        while True:
            context = CommandContext("caller", self._clock.now(), new_id(), command_id=f"caller/{asked.key}")
            opens = asked.kind == "open"
            decide = count(asked.key, asked.caller, asked.lines, asked.n, bad=asked.bad, first=opens)
            try:
                outcome = await self._commands.run(context, asked.model_dump(), decide)
            except UNANSWERED:
                await asyncio.sleep(0.05 + self._dice.random() * 0.1)
                continue
            except RefusedError as refusal:  # nothing that is asked here is to be refused: the checker will say so
                refused = {"refused": refusal.reasons[0].code}
                self._note("acknowledged", Acknowledged(key=asked.key, first=0, last=0, versions={}, answer=refused))
                return True
            self._acknowledge(asked, outcome)
            return True

    async def _race(self, asked: Asked) -> bool:
        """Claim the next version of a line; whoever loses, or does not know, lets it be."""
        [line] = asked.lines
        try:
            at = await self._store.version(stream(line))
            appended = await self._store.append(self._request(asked, {line: at}))
        except UNANSWERED:
            await asyncio.sleep(self._dice.random() * 0.01)
            return False
        self._appended(asked, appended.first, appended.last, {line: at + 1})
        return True

    async def _bulk(self, asked: Asked) -> bool:
        try:
            actual = await self._store.versions([stream(line) for line in asked.lines])
            versions = {line: actual[stream(line)] for line in asked.lines}
            requests = [self._request(asked, {line: at}) for line, at in versions.items()]
            appended: list[Appended] = await self._store.append_bulk(requests)
        except UNANSWERED:
            await asyncio.sleep(self._dice.random() * 0.01)
            return False
        versions = {line: at + 1 for line, at in versions.items()}
        self._appended(asked, appended[0].first, appended[-1].last, versions)
        return True

    def _request(self, asked: Asked, expected: dict[str, int]) -> AppendRequest:
        event: Counted | Graded = Counted(key=asked.key, caller=asked.caller, n=asked.n, bad=asked.bad)
        if asked.kind == "graded":
            event = Graded(key=asked.key, caller=asked.caller, hundredths=asked.n)
        now = self._clock.now()
        pending = tuple(Pending(stream(line), event, now, new_id()) for line in expected)
        return AppendRequest(pending, {stream(line): at for line, at in expected.items()}, "caller", new_id())

    def _acknowledge(self, asked: Asked, outcome: Outcome) -> None:
        versions = {line: outcome.versions[stream(line)] for line in asked.lines}
        ack = Acknowledged(
            key=asked.key,
            first=outcome.first,
            last=outcome.last,
            versions=versions,
            answer=outcome.answer,
            replayed=outcome.replayed,
        )
        if not outcome.replayed:
            self._answered.append(asked)
        self._note("acknowledged", ack)
        print("ack", flush=True)

    def _appended(self, asked: Asked, first: int, last: int, versions: dict[str, int]) -> None:
        self._note("acknowledged", Acknowledged(key=asked.key, first=first, last=last, versions=versions))
        print("ack", flush=True)

    def _note(self, what: str, entry: Asked | Acknowledged) -> None:
        os.write(self._journal, orjson.dumps({what: entry.model_dump()}) + b"\n")


async def main() -> None:
    options = CallerOptions.model_validate_json(sys.argv[1])
    use_topic(options.topic)
    store = await EventStore.open(options.dsn, TALLY, max_size=4)
    caller = Caller(options, store)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, caller.stop.set)
    print("calling", flush=True)
    await caller.run()
    await store.close()


if __name__ == "__main__":
    uvloop.run(main())
