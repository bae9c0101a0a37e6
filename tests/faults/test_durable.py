"""Acknowledged is durable: the database server is killed under load, again and again; every answer that was given holds."""

import asyncio

from tests.faults.chaos import Chaos
from tests.faults.checker import check_finished, check_published, check_read_models, read_log
from tests.faults.installation import Server
from tests.faults.processes import Processes
from tests.faults.scene import lines, open_scene


async def test_what_was_acknowledged_survives_the_death_of_the_database(
    server: Server, chaos: Chaos, processes: Processes
) -> None:
    async with open_scene(server.dsn, server.dsn, chaos, processes) as scene:
        load = scene.load
        worker = await scene.worker()
        for _ in range(2):
            await load.start(lines(40), mix={"count": 4, "pair": 1, "open": 1, "race": 1, "bulk": 1})
        for _ in range(2 * chaos.strength):
            await load.more(chaos.dice.randrange(50, 800))
            await asyncio.to_thread(chaos.kill, server)
            await asyncio.to_thread(server.start)
        await load.more(200)
        await load.stop()
        journal = await load.finish()
        history = await scene.checked_history(journal)
        check_finished(history, journal)
        await scene.shown()
        await check_read_models(scene.dsn, history)
        check_published(history, await read_log(scene.log_url, scene.topic))
        await worker.stop()
