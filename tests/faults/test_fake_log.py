"""The relay and the runner on a log of dice: the same seed does the same, so what is found here can be found again.

The database is a real one; the log is the only thing that misbehaves.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from shared.eventstore.store import EventStore
from shared.eventstore.types import AppendRequest, Pending
from shared.kit.clock import SystemClock
from shared.kit.ids import new_id
from shared.log.cloudevents import decode_record
from shared.log.port import PARTITIONS, LogUnavailableError, NewRecord
from shared.projections import tables
from shared.projections.bell import Bell
from shared.projections.generations import ensure_live
from shared.projections.rebuild import RebuildRefusedError, rebuild
from shared.projections.runner import Runner
from shared.relay.relay import Relay
from shared.relay.republish import republish
from tests.faults.chaos import PATIENCE, Chaos, strength
from tests.faults.checker import (
    Record,
    ViolationError,
    check_published,
    check_read_models,
    read_history,
)
from tests.faults.fake_log import FakeLog, FallingSilent
from tests.faults.scene import Scene, lines
from tests.faults.tally import PROJECTIONS, TALLY, Counted, stream, tally_lines

EVENTS = 250
RUNS = range(3 * strength() ** 2)


class Theatre:
    """Relay, runner and log of one run, on the scene's database."""

    def __init__(self, scene: Scene, log: FakeLog, store: EventStore) -> None:
        self.scene = scene
        self.log = log
        self.store = store

    async def write(self, n: int) -> None:
        dice, names = self.scene.chaos.dice, lines(15)
        for _ in range(n):
            name = stream(dice.choice(names))
            key = str(new_id())
            event = Counted(key=key, caller=dice.choice("abc"), n=dice.randrange(1, 1_000))
            pending = Pending(name, event, SystemClock().now(), new_id())
            await self.store.append(
                AppendRequest((pending,), {name: await self.store.version(name)}, "tester", new_id())
            )

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[None]:
        relay = Relay(self.scene.dsn, self.store, self.log, TALLY, batch=17, first_pause=0.001)
        async with _running(relay.run):
            yield

    @asynccontextmanager
    async def folding(self, worker: str = "worker") -> AsyncIterator[None]:
        async with self.scene.engine() as engine:
            runner = Runner(engine, self.log, PROJECTIONS, worker, Bell())
            async with _running(runner.run):
                yield

    def records(self) -> list[Record]:
        found: list[Record] = []
        for (_, partition), held in sorted(self.log.records.items()):
            for record in held:
                envelope, previous = decode_record(record)
                data = TALLY.open(envelope).event.model_dump()
                found.append(
                    Record(
                        partition,
                        str(envelope.event_id),
                        envelope.stream_id,
                        envelope.version,
                        envelope.position,
                        previous,
                        data,
                    )
                )
        return found

    async def check(self) -> None:
        history = await read_history(self.scene.dsn)
        self.scene.chaos.checked += len(history)
        check_published(history, self.records())
        assert self.log.overlapping == 0, "a send began before another had its answer"
        await check_read_models(self.scene.dsn, history)
        async with self.scene.engine() as engine, engine.connect() as connection:
            assert (await connection.execute(tables.parked.select())).all() == []


@asynccontextmanager
async def _running(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(run(stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE):
            await task


@pytest_asyncio.fixture(loop_scope="session")
async def theatre(scene: Scene) -> AsyncIterator[Theatre]:
    log = FakeLog(scene.chaos.dice.randrange(2**32))
    await log.create_topic(scene.topic)
    async with scene.store() as store, scene.engine() as engine:
        for projection in PROJECTIONS:
            await ensure_live(engine, projection)
        yield Theatre(scene, log, store)


@pytest.mark.parametrize("run", RUNS)
async def test_what_a_torn_repeating_and_slow_log_is_given_comes_out_right(theatre: Theatre, run: int) -> None:
    log, chaos = theatre.log, theatre.scene.chaos
    log.fail, log.unheard, log.repeat = chaos.dice.random() * 0.4, chaos.dice.random() * 0.4, chaos.dice.random() * 0.2
    log.delay, log.away = chaos.dice.random() * 0.7, chaos.dice.random() * 0.05
    async with theatre.relaying(), theatre.folding():
        await theatre.write(EVENTS)
        await theatre.scene.published()
        await theatre.scene.shown()
    await theatre.check()
    assert sum(log.told.values()) > 0, f"run {run}: the dice did nothing"


async def test_a_relay_that_is_behind_reads_ahead_and_sends_each_event_once(theatre: Theatre) -> None:
    await theatre.write(EVENTS)
    async with theatre.relaying():
        await theatre.scene.published()
    check_published(await read_history(theatre.scene.dsn), theatre.records())
    assert (len(theatre.records()), theatre.log.overlapping) == (EVENTS, 0)


@pytest.mark.parametrize("run", RUNS)
async def test_a_relay_that_is_behind_sends_in_order_what_a_torn_log_has_not_acknowledged(
    theatre: Theatre, run: int
) -> None:
    """What is read ahead is not sent before the answer, and thrown away with what failed."""
    log, dice = theatre.log, theatre.scene.chaos.dice
    await theatre.write(EVENTS)
    log.fail, log.unheard = dice.random() * 0.4, dice.random() * 0.4
    async with theatre.relaying():
        await theatre.scene.published()
    check_published(await read_history(theatre.scene.dsn), theatre.records())
    assert log.overlapping == 0, f"run {run}"


async def test_a_relay_starts_though_many_fetches_stand_between_it_and_the_end_of_the_log(theatre: Theatre) -> None:
    """Late duplicates behind the cursor have to be read through, and some of the fetches fail."""
    log = theatre.log
    async with theatre.relaying():
        await theatre.write(EVENTS)
        await theatre.scene.published()
    for (topic, partition), held in list(log.records.items()):
        log.records[topic, partition] = []
        for record in [*held[:-1] * 20, *held[-1:], *held[:1]]:
            log.append(NewRecord(topic, partition, record.key, record.value, record.headers))
    log.away = 0.05
    relay = Relay(theatre.scene.dsn, theatre.store, log, TALLY)
    for _ in range(10):
        await relay.start_checks()
    assert log.told["away"] > 50, "the dice did next to nothing"


async def test_what_a_log_that_goes_silent_does_not_give_is_not_called_lost(theatre: Theatre) -> None:
    """An empty answer may be that of a log that is away: a relay that refused would stay down when the log is back."""
    log = theatre.log
    async with theatre.relaying():
        await theatre.write(EVENTS)
        await theatre.scene.published()
    first = next(held for held in log.records.values() if len(held) > 1)[0]
    log.append(NewRecord(first.topic, first.partition, first.key, first.value, first.headers))
    relay = Relay(theatre.scene.dsn, theatre.store, FallingSilent(log.seed, records=log.records), TALLY)
    with pytest.raises(LogUnavailableError, match="silent"):
        await relay.start_checks()


@pytest.mark.parametrize("run", RUNS)
async def test_what_went_missing_is_waited_for_and_taken_once_it_is_sent_again(theatre: Theatre, run: int) -> None:
    """Meanwhile nothing after the gap is applied, the other partitions go on, and a rebuild refuses."""
    scene, log, chaos = theatre.scene, theatre.log, theatre.scene.chaos
    async with theatre.relaying():
        await theatre.write(EVENTS)
        await scene.published()
    wounded = [where for where, held in log.records.items() if len(held) > 3]
    chaos.dice.shuffle(wounded)
    lost = [log.lose_one(where) for where in wounded[:3]]
    positions = [int(record.headers["ce_keyfoldposition"]) for record in lost]
    log.repeat = log.delay = 0.3
    async with theatre.folding(), scene.engine() as engine:
        await scene.until(f"SELECT count(*) = {2 * len(lost)} FROM projection.alarm WHERE kind = 'missing'")
        with pytest.raises(RebuildRefusedError, match="the log is incomplete") as refused:
            await rebuild(engine, log, tally_lines)
        assert any(f"predecessor {position} " in str(refused.value) for position in positions), refused.value
        await _check_nothing_after(
            theatre, {record.partition: int(record.headers["ce_keyfoldposition"]) for record in lost}
        )
        await republish(scene.dsn, theatre.store, min(positions) - 1)
        async with theatre.relaying():
            await scene.published()
            await scene.shown()
        await scene.until("SELECT count(*) = 0 FROM projection.alarm")
    history = await read_history(scene.dsn)
    await check_read_models(scene.dsn, history, f"run {run}: what was missing is taken in its place")


async def _check_nothing_after(theatre: Theatre, lost: dict[int, int]) -> None:
    async with theatre.scene.engine() as engine, engine.connect() as connection:
        rows = (await connection.execute(tables.checkpoint.select())).all()
    for row in rows:
        if row.partition in lost and row.position >= lost[row.partition]:
            raise ViolationError("nothing is taken after a gap", f"{row} although {lost[row.partition]} is missing")
    assert len({row.partition for row in rows}) == PARTITIONS


def test_the_dice_are_the_same_for_the_same_seed(seed: int) -> None:
    one, two = Chaos(seed, "same"), Chaos(seed, "same")
    assert one.points(5, 1_000) == two.points(5, 1_000)
    assert one.points(5, 1_000) != Chaos(seed + 1, "same").points(5, 1_000)
