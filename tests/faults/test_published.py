"""Published, in order: relays are killed in the middle of batches, the broker is killed and stays away; a reader of the log
still gets every event, each partition in order. What came twice it can tell.
"""

import asyncio
import signal
from typing import Any

from tests.faults.chaos import PATIENCE, Chaos
from tests.faults.checker import check_published, read_log
from tests.faults.processes import Processes, Program
from tests.faults.scene import Scene, lines, open_scene


async def _relay(scene: Scene, *, mortal: bool = False) -> Program:
    dice = scene.chaos.dice
    dies = (dice.randrange(2, 7), dice.random()) if mortal else None
    return await scene.worker(fold=False, batch=dice.choice([7, 20, 50]), dies=dies)


async def test_every_event_is_published_though_relays_and_the_broker_die(
    database: str, kafka_broker: Any, chaos: Chaos, processes: Processes
) -> None:
    address = await asyncio.to_thread(kafka_broker.start)
    async with open_scene(database, f"kafka://{address}", chaos, processes) as scene:
        load = scene.load
        await load.start(lines(60), tasks=4, mix={"count": 3, "pair": 1})
        deaths = 2 * chaos.strength
        relays = [await _relay(scene, mortal=True), await _relay(scene, mortal=True)]
        for n in range(deaths):  # the one that stands by takes over
            await _one_dies(relays, scene)
            relays.append(await _relay(scene, mortal=n < deaths - 2))
        for _ in range(chaos.strength):
            await asyncio.to_thread(chaos.kill, kafka_broker)
            await load.more(chaos.dice.randrange(100, 400))  # it stays away for a while, and writing goes on
            await asyncio.to_thread(kafka_broker.start)
            if chaos.strength > 1:
                await scene.until("SELECT h.position - r.position < 500 FROM store.head h, store.relay r")
        await load.stop()
        journal = await load.finish()
        history = await scene.checked_history(journal)
        await scene.published()
        check_published(history, await read_log(scene.log_url, scene.topic))
        for relay in relays:
            await relay.stop()


async def _one_dies(relays: list[Program], scene: Scene) -> None:
    """Whoever has the lease, in the middle of a batch."""
    async with asyncio.timeout(PATIENCE):
        while not (dead := [one for one in relays if not one.running]):
            await scene.processes.bell.wait(1.0)
    gone = dead[0]
    assert await gone.ended() == -signal.SIGKILL, gone.last_words()
    relays.remove(gone)
    scene.chaos.kills += 1
