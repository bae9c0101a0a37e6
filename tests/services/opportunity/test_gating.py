"""Gates and waivers on a real store: what is decided together is recorded together."""

from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.opportunity.commands import Acting, anyone, change, define_process, open_opportunity, upsert
from services.opportunity.domain.gates.book import BOOK, DefineGate, RetireGate
from services.opportunity.domain.gates.evaluate import GateRefusedError
from services.opportunity.domain.gates.waiver import ApproveWaiver, RefuseWaiver, RequestWaiver, WithdrawWaiver
from services.opportunity.domain.opportunity.opening import OpenOpportunity
from services.opportunity.domain.opportunity.outcome import Win
from services.opportunity.domain.opportunity.progress import AssertProgress
from services.opportunity.domain.opportunity.terms import Comment
from services.opportunity.domain.process import DefineProcess
from services.opportunity.entities import GATE_BOOK, WAIVER
from services.opportunity.gating import (
    approve_waiver,
    define_default_book,
    define_gate,
    record_stop,
    refuse_waiver,
    request_waiver,
    retire_gate,
    withdraw_waiver,
)
from shared.contracts.opportunity import (
    GatePassedOnWaiver,
    GateStopped,
    GateWaived,
    GateWarned,
    OpportunityWon,
    WaiverApproved,
)
from shared.contracts.refusal import RefusedError
from shared.eventstore.commands import CommandContext, Commands, Decide, Work
from shared.eventstore.types import JsonObject
from shared.kit.clock import FixedClock
from shared.kit.ids import new_id
from tests.services.opportunity.conftest import NOW, Desk
from tests.services.opportunity.deals import SHORT, win
from tests.services.opportunity.domain.gates.rules import rule

FORM = DefineProcess(**SHORT.model_dump(exclude={"key", "version"}))
ALL_DONE = AssertProgress(completed_stage=3, note="CRM")
MANAGER = frozenset({"manager"})


@pytest_asyncio.fixture(loop_scope="session")
async def ready(desk: Desk) -> str:
    """An opportunity without an amount that only has to be won."""
    await desk.run(lambda work: define_process(work, "short", FORM))
    opened = await desk.do(lambda work: open_opportunity(work, OpenOpportunity(name="Line 3", process="short"), anyone))
    await desk.run(lambda work: change(work, opened, [ALL_DONE], anyone))
    return opened


async def define(desk: Desk, mode: str = "control", **fields: Any) -> None:
    command = DefineGate(rule=rule(mode=mode, **fields))
    new = not await desk.store.version(GATE_BOOK.stream_id(BOOK))
    await desk.run(lambda work: define_gate(work, "gate", command, new=new))


async def last(desk: Desk, opportunity_id: str, count: int = 2) -> list[type]:
    return [type(event) for event in (await desk.events(opportunity_id))[-count:]]


async def test_no_act_slips_through_while_a_rule_changes(desk: Desk, ready: str) -> None:
    await define(desk, mode="warn")
    tried = 0

    async def slow(work: Work) -> JsonObject:
        nonlocal tried
        tried += 1
        answer = await change(work, ready, [win()], anyone)
        if tried == 1:  # another process makes the rule stricter, between the decision and its append
            other = Desk(desk.store)
            await define(other, mode="stop")
        return answer

    with pytest.raises(GateRefusedError):
        await desk.run(slow)
    assert tried == 2
    assert OpportunityWon not in map(type, await desk.events(ready))


async def test_the_gates_in_force_are_read_whatever_is_commanded(desk: Desk, ready: str) -> None:
    """So that no list has to say of a new kind of command that it can lead to what gates guard."""

    async def act(work: Work) -> JsonObject:
        answer = await change(work, ready, [Comment(text="hm")], anyone)
        assert GATE_BOOK.stream_id(BOOK) in work.expected
        return answer

    await desk.run(act)


async def test_a_gate_that_is_retired_binds_nobody(desk: Desk, ready: str) -> None:
    await define(desk, mode="stop")
    await desk.run(lambda work: retire_gate(work, "gate", RetireGate(reason="over")))
    await desk.run(lambda work: change(work, ready, [win()], anyone))
    assert (await desk.state(ready)).outcome == "won"


async def test_a_waiver_and_what_the_opportunity_is_told_are_one_append(desk: Desk, ready: str) -> None:
    await define(desk)
    asked = RequestWaiver(gate="gate", opportunity_id=ready, reason="year end", expires_at=NOW + timedelta(days=3))
    answer = (await desk.run(lambda work: request_waiver(work, asked, anyone))).answer
    with pytest.raises(RefusedError) as refusal:
        await desk.run(lambda work: approve_waiver(work, answer["id"], ApproveWaiver(), anyone, MANAGER))
    assert refusal.value.reasons[0].code == "own_request"
    manager = Commands(desk.store, b"secret", FixedClock(NOW))
    outcome = await manager.run(
        context("lin"), {}, lambda work: approve_waiver(work, answer["id"], ApproveWaiver(), anyone, MANAGER)
    )
    assert [type(recorded.event) for recorded in outcome.events] == [WaiverApproved, GateWaived]
    assert outcome.versions[WAIVER.stream_id(answer["id"])] == 2
    await desk.run(lambda work: change(work, ready, [win()], anyone))
    assert await last(desk, ready) == [OpportunityWon, GatePassedOnWaiver]


async def test_no_word_on_a_waiver_is_older_than_what_it_rests_on(desk: Desk, ready: str) -> None:
    await define(desk)
    until, hour = NOW + timedelta(days=3), timedelta(hours=1)
    ask = RequestWaiver(gate="gate", opportunity_id=ready, reason="year end", expires_at=until)
    before = ask.model_copy(update={"occurred_at": NOW - hour})
    await untimely(desk, "tester", lambda work: request_waiver(work, before, anyone))
    answer = (await desk.run(lambda work: request_waiver(work, ask, anyone))).answer
    waiver, early = answer["id"], NOW - hour
    approve, withdraw = ApproveWaiver(occurred_at=early), WithdrawWaiver(occurred_at=early)
    refuse = RefuseWaiver(reason="no", occurred_at=early)
    await untimely(desk, "lin", lambda work: approve_waiver(work, waiver, approve, anyone, MANAGER))
    await untimely(desk, "lin", lambda work: refuse_waiver(work, waiver, refuse, anyone, MANAGER))
    await untimely(desk, "tester", lambda work: withdraw_waiver(work, waiver, withdraw))
    assert await desk.store.version(WAIVER.stream_id(waiver)) == 1
    await desk.run(lambda work: withdraw_waiver(work, waiver, WithdrawWaiver()))
    assert await desk.store.version(WAIVER.stream_id(waiver)) == 2


async def untimely(desk: Desk, actor: str, decide: Decide) -> None:
    with pytest.raises(RefusedError) as refusal:
        await desk.commands.run(context(actor), {}, decide)
    assert refusal.value.reasons[0].code == "out_of_order"


async def test_a_waiver_for_a_gate_that_stops_everybody_by_now_is_not_given(desk: Desk, ready: str) -> None:
    await define(desk)
    asked = RequestWaiver(gate="gate", opportunity_id=ready, reason="year end", expires_at=NOW + timedelta(days=3))
    answer = (await desk.run(lambda work: request_waiver(work, asked, anyone))).answer
    await define(desk, mode="stop")
    with pytest.raises(RefusedError) as refusal:
        await Commands(desk.store, b"secret", FixedClock(NOW)).run(
            context("lin"), {}, lambda work: approve_waiver(work, answer["id"], ApproveWaiver(), anyone, MANAGER)
        )
    assert refusal.value.reasons[0].code == "not_waivable"
    assert (await desk.state(ready)).waivers == {}


async def test_what_was_stopped_is_recorded_and_changes_nothing_else(desk: Desk, ready: str) -> None:
    await define(desk)
    before = await desk.state(ready)
    with pytest.raises(GateRefusedError) as refusal:
        await desk.run(lambda work: change(work, ready, [win()], anyone, Acting()))
    await desk.run(lambda work: record_stop(work, ready, refusal.value))
    assert await last(desk, ready, 1) == [GateStopped]
    assert await desk.state(ready) == before


async def test_the_same_stop_is_recorded_again_when_something_else_has_happened(desk: Desk, ready: str) -> None:
    await define(desk)
    with pytest.raises(GateRefusedError) as refusal:
        await desk.run(lambda work: change(work, ready, [win()], anyone, Acting()))
    assert refusal.value.opportunity_id == ready

    async def stop() -> int:
        outcome = await desk.run(lambda work: record_stop(work, ready, refusal.value, desk.store.load))
        return len(outcome.events)

    assert [await stop() for _ in range(3)] == [1, 0, 0]
    await desk.run(lambda work: change(work, ready, [Comment(text="They call daily")], anyone))
    assert [await stop() for _ in range(2)] == [1, 0]


async def test_another_system_meets_no_gate(desk: Desk, ready: str) -> None:
    await define(desk, mode="stop")
    known = OpenOpportunity(name="Line 4", process="short")
    steps = [ALL_DONE, Win(evidence=win().evidence)]
    imported = await desk.do(lambda work: upsert(work, "crm", "4", known, anyone, lambda _: steps))
    assert (await desk.state(imported)).outcome == "won"
    assert GateWarned not in map(type, await desk.events(imported))


async def test_the_default_book_is_defined_once(desk: Desk) -> None:
    assert len((await desk.run(define_default_book)).events) == 6
    assert (await desk.run(define_default_book)).events == ()


async def test_it_leaves_a_book_that_is_there(desk: Desk) -> None:
    await define(desk)
    assert (await desk.run(define_default_book)).events == ()


def context(actor: str) -> CommandContext:
    return CommandContext(actor, NOW, new_id())
