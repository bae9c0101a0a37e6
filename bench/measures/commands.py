"""Whole commands from 64 callers, state from memory, decide, append: against the library's get, change, save."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import facts
from bench.appending import CALLERS, Call, fresh_store, load, open_store
from bench.harness import Bench, Row, interleaved, rate
from bench.servers import library
from shared.contracts.event import Recorded
from shared.eventstore.commands import Aggregate, CommandContext, Commands, Work
from shared.eventstore.types import JsonObject
from shared.kit.clock import SystemClock
from shared.kit.ids import new_id


@dataclass(frozen=True, slots=True)
class Deal:
    amount: int = 0


def _evolve(_: Deal, e: Recorded[Any]) -> Deal:
    return Deal(e.event.amount.minor)


DEAL: Aggregate[Deal] = Aggregate("opportunity", Deal(), _evolve)


async def measure(bench: Bench) -> Sequence[Row]:
    seconds = bench.seconds(3.0)
    dsn, theirs = await fresh_store(bench.servers, "commands"), await bench.servers.database("library")
    async with open_store(dsn) as store, library(theirs) as peer:
        commands = Commands(store, b"bench", SystemClock())
        tuned = await peer.ask(do="tune", work="command", callers=CALLERS, seconds=bench.seconds(1.0, 0.05))

        async def ours() -> float:
            return (await load(CALLERS, seconds, lambda: _caller(commands)))[0]

        async def library_commands() -> float:
            return float((await peer.ask(do="load", work="command", callers=CALLERS, seconds=seconds))["rate"])

        found = await interleaved(bench, {"ours": ours, "library": library_commands})
    for name in (dsn, theirs):
        await bench.servers.drop(name)
    mine, others = found["ours"], found["library"]
    beyond = mine.over(others)
    return [
        Row(
            "commands", f"whole command, 1 event, {CALLERS} callers", rate(mine.median, "commands/s"),
            f"eventsourcing {rate(others.median, 'commands/s')}", beyond.median, "", None,
            f"ratio {beyond.spread}; library at its best: {tuned['setting']}",
        )
    ]  # fmt: skip


def _caller(commands: Commands) -> Call:
    entity, version = new_id(), 0

    async def decide(work: Work) -> JsonObject:
        state = (await work.state(DEAL, entity)).state
        work.append(DEAL, entity, facts.amount_raised(state.amount))
        return {"id": str(entity)}

    async def call() -> None:
        nonlocal entity, version
        if version == facts.LENGTH:
            entity, version = new_id(), 0
        await commands.run(CommandContext(facts.ACTOR, commands.now(), new_id()), {}, decide)
        version += 1

    return call
