"""Published, in order: relays are killed in the middle of batches, the broker is killed and stays away; a reader of the log
still gets every event, each partition in order. What came twice it can tell.
"""

import asyncio
from typing import Any

from tests.faults.chaos import Chaos
from tests.faults.checker import check_published, read_log
from tests.faults.processes import Processes, Program
from tests.faults.scene import Scene, lines, open_scene


async def _relay(scene: Scene) -> Program:
    return await scene.worker(fold=False, batch=scene.chaos.dice.choice([7, 20, 50]))


async def test_every_event_is_published_though_relays_and_the_broker_die(
    database: str, kafka_broker: Any, chaos: Chaos, processes: Processes
) -> None:
    address = await asyncio.to_thread(kafka_broker.start)
    async with open_scene(database, f"kafka://{address}", chaos, processes) as scene:
        load = scene.load
        await load.start(lines(60), tasks=4, mix={"count": 3, "pair": 1})
        relays = [await _relay(scene), await _relay(scene)]
        for _ in range(2 * chaos.strength):
            await _kill_while_sending(relays, scene)
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
            if relay.running:
                await relay.stop()


async def _kill_while_sending(relays: list[Program], scene: Scene) -> None:
    """Whoever has the lease, at the start of one of its next batches; another one takes its place in the queue."""
    active = next((one for one in relays if one.running and one.counts["sending"]), None)
    if active is None:
        active = await _first_to_send(relays, scene)
    await active.tells("sending", active.counts["sending"] + scene.chaos.dice.randrange(1, 6))
    scene.chaos.kill(active)
    relays.append(await _relay(scene))


async def _first_to_send(relays: list[Program], scene: Scene) -> Program:
    async with asyncio.timeout(60):
        while True:
            for one in relays:
                if one.running and one.counts["sending"]:
                    return one
            await scene.processes.bell.wait(1.0)
