"""Gates are proved to still fire, at set times."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.opportunity.gating import define_default_book
from services.opportunity.proving import EVERY, RULE, due_rules, failing, following, plan_proofs, prove_gates
from shared.contracts.opportunity import GateProof, GatesProved
from shared.eventstore.commands import CommandContext
from shared.eventstore.types import Pending
from shared.kit.ids import new_id
from shared.scheduler.due import DueItem, due_table, migrate_scheduler
from shared.service.backend import open_engine
from tests.services.opportunity.conftest import NOW, Desk

STREAM = "gate_proofs-default"


@pytest.mark.parametrize("hours", [0, 1, 24 * 7 - 1])
def test_the_next_time_is_the_beginning_of_next_week(hours: int) -> None:
    monday = datetime(2017, 3, 27, tzinfo=UTC)
    assert following(monday + timedelta(hours=hours)) == monday + EVERY


async def test_all_gates_in_force_are_proved_in_one_fact(desk: Desk) -> None:
    await desk.run(define_default_book)
    outcome = await desk.run(prove_gates)
    [event] = [recorded.event for recorded in outcome.events]
    assert isinstance(event, GatesProved)
    assert {one.gate for one in event.gates} >= {"price_for_terms", "win_on_record"}
    assert not any(one.failing for one in event.gates)


def test_proofs_that_fail_by_now_are_found() -> None:
    proofs = (GateProof(gate="a", version=1, proofs=2), GateProof(gate="b", version=3, proofs=2, failing=("known",)))
    event = Pending(STREAM, GatesProved(gates=proofs), NOW, new_id())
    assert failing([event]) == [proofs[1]]


async def test_without_gates_there_is_nothing_to_prove(desk: Desk) -> None:
    assert (await desk.run(prove_gates)).events == ()


async def test_each_time_plans_the_next_and_counts_once(desk: Desk, database: str) -> None:
    await desk.run(define_default_book)
    engine = open_engine(database, connections=2)
    try:
        await migrate_scheduler(engine)
        await plan_proofs(engine)
        await plan_proofs(engine)
        [first] = await planned(engine)
        [rule] = due_rules(desk.commands, engine)
        item = DueItem(RULE, STREAM, NOW, {})
        for _ in range(2):
            context = CommandContext("scheduler", NOW, new_id(), command_id=item.command_id, occurred_at=item.due_at)
            await rule.handler(context, item)
        assert await planned(engine) == sorted([first, following(NOW)])
    finally:
        await engine.dispose()
    proved = [fact for fact in await desk.store.load(STREAM) if isinstance(fact.event, GatesProved)]
    assert [fact.occurred_at for fact in proved] == [NOW]


async def planned(engine: AsyncEngine) -> list[datetime]:
    async with engine.connect() as connection:
        rows = await connection.execute(select(due_table.c.due_at).where(due_table.c.rule == RULE))
        return sorted(rows.scalars())
