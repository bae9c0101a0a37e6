"""Poison is parked: a release that cannot take an event parks its stream and lists it, the others go on, the mended release
replays; a release that is too old for an event stops and parks nothing.
"""

from shared.projections.parked import parked_streams, replay
from tests.faults.checker import (
    Fact,
    Rows,
    ViolationError,
    check_read_models,
    check_rows,
    fold_lines,
    read_history,
    read_rows,
)
from tests.faults.processes import Program
from tests.faults.scene import Scene, lines
from tests.faults.tally import tally_callers, tally_lines


async def test_bad_events_park_their_streams_alone_and_replay_heals(scene: Scene) -> None:
    chaos, load = scene.chaos, scene.load
    worker = await scene.worker(broken=True)
    await load.start(lines(60), tasks=4, bad=0.02)
    for _ in range(chaos.strength):
        await load.more(chaos.dice.randrange(200, 400))
        worker = await _killed_and_replaced(scene, worker, broken=True)
        await load.more(chaos.dice.randrange(100, 200))
    await load.stop()
    history = await scene.checked_history(await load.finish())
    await scene.shown()
    await _check_parked(scene, history)
    await worker.stop()
    # The mended release: it goes on with new events, and an operator replays what waits.
    worker = await scene.worker()
    await load.start(lines(60), tasks=4, count=100)
    async with scene.engine() as engine:
        for stream in await parked_streams(engine):
            await replay(engine, tally_lines, stream.stream_id)
        history = await scene.checked_history(await load.ended())
        await scene.shown()
        for stream in await parked_streams(engine):  # those that came between the list and the replay
            await replay(engine, tally_lines, stream.stream_id)
        assert await parked_streams(engine) == []
    await check_read_models(scene.dsn, history, "replay heals")
    await worker.stop()


async def _killed_and_replaced(scene: Scene, worker: Program, **options: object) -> Program:
    scene.chaos.kill(worker)
    await worker.ended()
    return await scene.worker(**options)


async def _check_parked(scene: Scene, history: list[Fact]) -> None:
    """Each line shows what came before its first bad event; each with a bad one is listed with all that waits."""
    first_bad: dict[str, int] = {}
    for fact in history:
        if fact.data.get("bad"):
            first_bad.setdefault(fact.line, fact.version)
    assert first_bad, "no bad event was thrown: try another seed"
    taken = [fact for fact in history if fact.version < first_bad.get(fact.line, fact.version + 1)]
    check_rows("the others go on", await read_rows(scene.dsn, "tally_lines", "line"), fold_lines(taken))
    waiting = {line: sum(fact.line == line for fact in history) - at + 1 for line, at in first_bad.items()}
    async with scene.engine() as engine:
        listed = {one.stream_id.split("-", 1)[1]: one.events for one in await parked_streams(engine)}
    if listed != waiting:
        raise ViolationError("poison is listed", f"listed are {listed}, waiting {waiting}")


async def test_a_release_that_is_too_old_stops_and_parks_nothing(scene: Scene) -> None:
    chaos, load = scene.chaos, scene.load
    old = await scene.worker(knows=1)
    await load.start(lines(30), tasks=4, count=chaos.dice.randrange(100, 200))
    await load.ended()
    await scene.shown()
    before = await read_history(scene.dsn)
    await load.start(lines(30), tasks=4, mix={"count": 3, "graded": 1}, count=100)
    await load.ended()
    journal = await load.finish()
    history = await scene.checked_history(journal)
    newer = {fact.position for fact in history if fact.type_name == "tally.graded"}
    assert newer, "no newer event was thrown: try another seed"
    # It goes on with the partitions that have none, and stands still with an alarm before the first one of the others.
    await scene.until("SELECT count(*) > 0 FROM projection.alarm WHERE kind = 'newer_version'")
    old = await _killed_and_replaced(scene, old, knows=1)
    await scene.published()
    async with scene.engine() as engine:
        assert await parked_streams(engine) == []
    shown = await read_rows(scene.dsn, "tally_lines", "line")
    _check_prefixes(shown, before, history)
    await old.stop()
    upgraded = await scene.worker()
    await scene.shown([tally_lines, tally_callers])
    await check_read_models(scene.dsn, history, "an upgraded worker goes on")
    async with scene.engine() as engine:
        assert await parked_streams(engine) == []
    await scene.until("SELECT count(*) = 0 FROM projection.alarm")
    await upgraded.stop()


def _check_prefixes(shown: Rows, before: list[Fact], history: list[Fact]) -> None:
    """Each line shows a prefix of its history, no shorter than what was shown before, that ends before the first newer event."""
    least = fold_lines(before)
    for line, row in shown.items():
        events, facts = row[0], [fact for fact in history if fact.line == line]
        taken = facts[:events]
        if any(fact.type_name == "tally.graded" for fact in taken) or events < least.get(line, (0,))[0]:
            raise ViolationError("a newer version stops", f"{line} shows {events} events of {len(facts)}")
        check_rows("a newer version stops", {line: row}, fold_lines(taken))
