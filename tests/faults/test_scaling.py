"""A second pair of hands: workers 1 → 3 → 1, a rolling restart of every API and every worker, one of each killed, all under load.
Nothing is lost, nothing done twice, and people at work behind the gateway do not notice who answers them.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.faults.chaos import Chaos
from tests.faults.checker import ViolationError, check_dense, check_published, read_history, read_log
from tests.faults.crowd import Crowd, check_said
from tests.faults.gateway import Gateway
from tests.faults.installation import SERVICE, Server, Town, authorised, issuer, settings_of
from tests.faults.processes import Processes, Program

TOPIC = f"keyfold.{SERVICE}.events"
BETWEEN = 20  # comments from one change to the next


@pytest_asyncio.fixture(loop_scope="session")
async def kafka_town(server: Server, kafka_broker: Any, processes: Processes, tmp_path: Path) -> AsyncIterator[Town]:
    """The opportunity service on a broker of its own: the topic is the real one, which has one history."""
    address = await asyncio.to_thread(kafka_broker.start)
    with issuer() as jwks_url:
        settings = settings_of(server, jwks_url, tmp_path)
        settings |= {"KEYFOLD_LOG_URL": f"kafka://{address}", "KEYFOLD_UNREADY_SECONDS": "1"}
        made = Town(server, processes, settings)
        await made.migrate()
        yield made
        await processes.clear_away()


async def test_scaling_and_rolling_restarts_lose_nothing_and_double_nothing(kafka_town: Town, chaos: Chaos) -> None:
    town = kafka_town
    first, *ports = await asyncio.gather(town.work(), town.serve(), town.serve())
    gateway = Gateway(ports, authorised())
    async with gateway.checking():
        crowd = Crowd(gateway, chaos, await _opened(gateway))
        async with crowd.working():
            await crowd.more(BETWEEN)
            workers = [first, *await asyncio.gather(town.work(), town.work())]
            await crowd.more(BETWEEN)
            for _ in range(chaos.strength):
                _, workers = await asyncio.gather(_restart_apis(town, crowd), _restart_workers(town, crowd, workers))
                await _kill_an_api(town, crowd)
            await asyncio.gather(*(worker.stop() for worker in workers[1:]))
            await crowd.more(BETWEEN)
        await crowd.ask_again()
        await _check(town, crowd, gateway)
    for program in (workers[0], *town.apis.values()):
        await program.stop()


async def _opened(gateway: Gateway) -> list[str]:
    """Fewer than there are people: they meet, each behind an API with a memory of its own."""
    opened = [await gateway.send("POST", "/opportunities", json={"name": f"Line {n}"}) for n in range(4)]
    assert {answer.status_code for answer in opened} == {201}
    return [f"/opportunities/{answer.json()['id']}" for answer in opened]


async def _restart_apis(town: Town, crowd: Crowd) -> None:
    for port in list(town.apis):
        await town.apis[port].stop()
        if crowd.gateway.surprised:
            raise ViolationError("unready before it is gone", f"{port} refused connections that the gateway sent it")
        await town.serve(port)
        await crowd.more(BETWEEN)


async def _restart_workers(town: Town, crowd: Crowd, workers: list[Program]) -> list[Program]:
    """One of them is killed instead: it is missed until its heart has stopped for long enough."""
    killed = crowd.chaos.pick(workers)
    for worker in workers:
        if worker is killed:
            crowd.chaos.kill(worker)
            await worker.ended()
            await crowd.more(BETWEEN)
        else:
            await worker.stop()
        workers = [*(one for one in workers if one is not worker), await town.work()]
        await crowd.more(BETWEEN)
    return workers


async def _kill_an_api(town: Town, crowd: Crowd) -> None:
    """What it was answering is lost, and asked again at the other one."""
    port = crowd.chaos.pick(list(town.apis))
    crowd.lossy = True
    crowd.chaos.kill(town.apis[port])
    await town.apis[port].ended()
    await crowd.more(BETWEEN)
    crowd.lossy = False
    await town.serve(port)


async def _check(town: Town, crowd: Crowd, gateway: Gateway) -> None:
    history = await read_history(town.server.database(f"keyfold_{SERVICE}"))
    crowd.chaos.checked += len(history)
    check_dense(history)
    check_said(history, crowd)
    last = await gateway.send("POST", "/opportunities", json={"name": "The last one"})
    shown = await gateway.send("GET", "/opportunities", headers={"Keyfold-Position": last.headers["Keyfold-Position"]})
    assert shown.status_code == 200, shown.text
    history = await read_history(town.server.database(f"keyfold_{SERVICE}"))
    check_published(history, await read_log(town.settings["KEYFOLD_LOG_URL"], TOPIC))
    verified = await town.processes.keyfold("verify", "verify", SERVICE, "--json", **town.settings)
    assert await verified.ended() == 0, verified.last_words()
    differing = {row["read_model"]: row["rows_differing"] for row in json.loads("".join(verified.said))}
    if any(differing.values()):
        raise ViolationError("applied exactly once", f"rows that differ: {differing}")
