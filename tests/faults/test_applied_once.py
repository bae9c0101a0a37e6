"""Applied exactly once: records come twice, checkpoints point back, workers freeze, wake, die and come; the read models are
what a pure fold of the events gives.
"""

import asyncio

import pytest

from shared.relay.republish import republish
from tests.faults.checker import check_published, check_read_models, read_log
from tests.faults.processes import Program
from tests.faults.scene import Scene, lines

REWIND = "UPDATE projection.checkpoint SET log_offset = floor(log_offset * $1::float8) WHERE partition = ANY($2::int[])"


@pytest.fixture(params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def either(request: pytest.FixtureRequest) -> Scene:
    scene: Scene = request.getfixturevalue("kafka_scene" if request.param == "kafka" else "scene")
    return scene


async def test_workers_that_come_die_freeze_and_wake_apply_everything_once(either: Scene) -> None:
    scene, chaos, load = either, either.chaos, either.load
    workers = [await scene.worker(), await scene.worker()]
    await load.start(lines(50), tasks=4, mix={"count": 4, "pair": 1, "graded": 1})
    for _ in range(chaos.strength):
        await load.more(chaos.dice.randrange(100, 300))
        await _inject_duplicates(scene)
        await load.more(chaos.dice.randrange(50, 200))
        chaos.kill(workers.pop(chaos.dice.randrange(len(workers))))
        await _rewind_checkpoints(scene)
        workers += [await scene.worker(), await scene.worker()]
        await load.more(chaos.dice.randrange(50, 200))
        await _freeze_one_until_others_have_its_share(scene, workers)
        await load.more(chaos.dice.randrange(50, 200))
        await workers.pop(chaos.dice.randrange(len(workers))).stop()
    await load.stop()
    journal = await load.finish()
    history = await scene.checked_history(journal)
    await scene.shown()
    await check_read_models(scene.dsn, history)
    await scene.published()
    assert check_published(history, await read_log(scene.log_url, scene.topic)) > 0
    for worker in workers:
        await worker.stop()


async def _inject_duplicates(scene: Scene) -> None:
    """By the relay: everything after some event once more."""
    async with scene.store() as store:
        while True:
            head = await store.head()
            try:
                await republish(scene.dsn, store, max(0, head - scene.chaos.dice.randrange(50, 300)))
                return
            except ValueError:  # not published yet
                await scene.published()


async def _rewind_checkpoints(scene: Scene) -> None:
    """Whoever takes these partitions up next reads what was read before."""
    partitions = scene.chaos.dice.sample(range(12), 6)
    await scene.execute(REWIND, scene.chaos.dice.random(), partitions)


async def _freeze_one_until_others_have_its_share(scene: Scene, workers: list[Program]) -> None:
    """It wakes in the belief that its partitions are still its own."""
    victim = workers[scene.chaos.dice.randrange(len(workers))]
    victim.freeze()
    try:
        async with asyncio.timeout(60):
            await scene.until(
                f"SELECT seen_at < now() - interval '5.5 seconds' FROM projection.worker WHERE worker_id = '{victim.name}'"
            )
        await scene.load.more(50)
    finally:
        victim.thaw()
