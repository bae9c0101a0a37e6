"""The store as a state machine against a model: whatever is done in whatever order, by two stores whose connections are cut and
which are opened anew, the history is the one that the model has. (Requests side by side: tests/shared/eventstore/test_model.py.)
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from shared.eventstore.appender import LOST
from shared.eventstore.commands import CommandContext, Commands, IdempotencyMismatchError
from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.eventstore.types import Appended, AppendRequest, CommandSeenError, Pending, VersionConflictError
from shared.kit.clock import SystemClock
from shared.kit.ids import new_id
from tests.faults.chaos import Chaos
from tests.faults.tally import LINE, TALLY, Counted, amount, count, stream

T = TypeVar("T")
which = st.integers(0, 1)
names = st.sampled_from(["a", "b", "c"])
numbers = st.integers(1, 9)
keys = st.integers(1, 5)
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'keyfold-store' AND pid <> pg_backend_pid()
"""


class StoreMachine(RuleBasedStateMachine):
    """The model: `history` is everything after `base`, in order, as (line, n); `answers` by key, with the input."""

    def __init__(self, dsn: str, chaos: Chaos) -> None:
        super().__init__()
        self.dsn, self.chaos = dsn, chaos
        self.loop = asyncio.new_event_loop()
        self.prefix = uuid4().hex
        self.clock = SystemClock()
        self.stores: list[EventStore] = []
        self.history: list[tuple[str, int]] = []
        self.answers: dict[int, tuple[tuple[str, int], dict[str, Any]]] = {}
        self.base = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 30))

    @initialize()
    def begin(self) -> None:
        self.run(migrate_store(self.dsn))
        self.stores = [self.run(self._open()), self.run(self._open())]
        self.commands = [Commands(store, b"secret", self.clock) for store in self.stores]
        self.base = self.run(self.stores[0].head())

    async def _open(self) -> EventStore:
        return await EventStore.open(self.dsn, TALLY, max_size=2)

    def line(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def version(self, line: str) -> int:
        return sum(one == line for one, _ in self.history)

    def total(self, line: str) -> int:
        return sum(n for one, n in self.history if one == line)

    def _request(self, line: str, expected: int, amounts: list[int]) -> AppendRequest:
        now = self.clock.now()
        pending = tuple(Pending(stream(line), Counted(key="k", caller="machine", n=n), now, new_id()) for n in amounts)
        return AppendRequest(pending, {stream(line): expected}, "machine", new_id())

    @rule(
        at=which, name=names, off=st.sampled_from([0, 0, 0, -1, 1]), amounts=st.lists(numbers, min_size=1, max_size=3)
    )
    def append(self, at: int, name: str, off: int, amounts: list[int]) -> None:
        line = self.line(name)
        before = self.version(line)
        expected = max(0, before + off)
        try:
            appended = self.run(self.stores[at].append(self._request(line, expected, amounts)))
        except VersionConflictError as conflict:
            actual = conflict.actual
            assert expected != before
            assert actual == {stream(line): before}
        except LOST:  # without a command id nobody knows: all of it or nothing
            self._find_out(line, before, amounts)
        else:
            assert expected == before
            self._appended(appended, line, amounts)

    def _appended(self, appended: Appended, line: str, amounts: list[int]) -> None:
        first = self.base + len(self.history) + 1
        self.history += [(line, n) for n in amounts]
        assert (appended.first, appended.last) == (first, first + len(amounts) - 1)
        assert appended.versions == {stream(line): self.version(line)}

    def _find_out(self, line: str, before: int, amounts: list[int]) -> None:
        now = self.run(self._version_now(line))
        assert now in (before, before + len(amounts))
        if now > before:
            self.history += [(line, n) for n in amounts]

    async def _version_now(self, line: str) -> int:
        connection = await asyncpg.connect(self.dsn)
        try:
            found = await connection.fetchval(
                "SELECT coalesce(max(version), 0) FROM store.event WHERE stream_id = $1", stream(line)
            )
            return int(found)
        finally:
            await connection.close()

    @rule(at=which, key=keys, name=names, n=numbers)
    def command(self, at: int, key: int, name: str, n: int) -> None:
        line = self.line(name)
        context = CommandContext("machine", self.clock.now(), new_id(), command_id=f"{self.prefix}/{key}")
        asked = (line, n)
        before = self.answers.get(key)
        while True:
            try:
                decide = count(str(key), "machine", [line], n)
                outcome = self.run(self.commands[at].run(context, {"asked": list(asked)}, decide))
                break
            except IdempotencyMismatchError:
                assert before is not None
                assert before[0] != asked
                return
            except LOST:  # a client asks again
                continue
        right = {"key": str(key), "totals": {line: self.total(line) + n}}
        if before is None:
            assert outcome.answer == right
            self.history.append(asked)
            self.answers[key] = (asked, right)
        else:
            assert before[0] == asked
            assert (outcome.answer, outcome.replayed) == (before[1], True)

    @rule(at=which, name=names, amounts=st.lists(numbers, min_size=1, max_size=3), off=st.sampled_from([0, 0, 1]))
    def bulk(self, at: int, name: str, amounts: list[int], off: int) -> None:
        """One request for each amount, each on top of the one before."""
        line = self.line(name)
        before = self.version(line)
        requests = [self._request(line, before + off + place, [n]) for place, n in enumerate(amounts)]
        try:
            appended = self.run(self.stores[at].append_bulk(requests))
        except VersionConflictError as conflict:
            actual = conflict.actual
            assert off
            assert actual == {stream(line): before}
        except LOST:
            self._find_out(line, before, amounts)
        else:
            assert not off
            for one, n in zip(appended, amounts, strict=True):
                self._appended(one, line, [n])

    @rule(at=which, key=keys)
    def append_under_a_known_key(self, at: int, key: int) -> None:
        line = self.line("a")
        record = self.run(self._known(at, f"{self.prefix}/{key}"))
        assert (record is not None) == (key in self.answers)
        if record is None:
            return
        request = self._request(line, self.version(line), [1])
        again = AppendRequest(request.events, request.expected, "machine", new_id(), command=record)
        with pytest.raises(CommandSeenError) as seen:
            self.run(self.stores[at].append(again))
        assert seen.value.record.answer == self.answers[key][1]

    async def _known(self, at: int, command_id: str) -> Any:
        while True:
            try:
                return await self.stores[at].command(command_id)
            except LOST:
                continue

    @rule()
    def cut_every_connection(self) -> None:
        async def cut() -> None:
            connection = await asyncpg.connect(self.dsn)
            try:
                await connection.execute(CUT)
            finally:
                await connection.close()

        self.run(cut())
        self.chaos.kills += 1

    @rule(at=which)
    def open_anew(self, at: int) -> None:
        self.run(self.stores[at].close())
        self.stores[at] = self.run(self._open())
        self.commands[at] = Commands(self.stores[at], b"secret", self.clock)

    @rule(at=which, name=names, after=st.integers(0, 4))
    def load(self, at: int, name: str, after: int) -> None:
        line = self.line(name)
        try:
            loaded = self.run(self.stores[at].load(LINE.stream_id(line), after))
        except LOST:
            return
        mine = [n for one, n in self.history if one == line][after:]
        assert [amount(recorded.event) for recorded in loaded] == mine
        assert [recorded.version for recorded in loaded] == list(range(after + 1, after + 1 + len(mine)))

    @invariant()
    def the_history_is_that_of_the_model(self) -> None:
        if not self.stores:
            return

        async def read() -> list[Any]:
            connection = await asyncpg.connect(self.dsn)
            try:
                return list(
                    await connection.fetch(
                        "SELECT position, stream_id, (data ->> 'n')::int AS n FROM store.event WHERE position > $1 ORDER BY 1",
                        self.base,
                    )
                )
            finally:
                await connection.close()

        rows = self.run(read())
        assert [(row["stream_id"], row["n"]) for row in rows] == [(stream(line), n) for line, n in self.history]
        assert [row["position"] for row in rows] == list(range(self.base + 1, self.base + 1 + len(rows)))

    def teardown(self) -> None:
        self.chaos.acks += len(self.history)
        self.chaos.checked += len(self.history)
        for store in self.stores:
            self.run(store.close())
        self.loop.close()


def test_the_store_does_what_the_model_does(database: str, chaos: Chaos) -> None:
    @seed(chaos.dice.randrange(2**32))
    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(database, chaos)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=15 * chaos.strength,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
