"""The invented company loads through the real commands, once, and shows everything that can happen to an opportunity."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest

from services.opportunity.domain.process import DEFAULT_PROCESS_KEY, synchrony
from services.opportunity.entities import PROCESS
from shared.contracts import opportunity
from shared.contracts.event import Recorded, encode
from shared.contracts.opportunity import LineItemsAgreed, OpportunityLost
from tests.services.demo.conftest import CALENDAR, TODAY, Installation


class Stopped(Exception):
    pass


def normalised(facts: list[Recorded[Any]]) -> dict[str, list[tuple[Any, ...]]]:
    """Per stream, in order: type, data, business time, actor; ids are numbered in the order in which their streams begin."""
    numbers: dict[str, str] = {}
    for fact in facts:
        numbers.setdefault(fact.entity_id, f"#{len(numbers)}")
    streams: dict[str, list[tuple[Any, ...]]] = {}
    for fact in facts:
        data = encode(fact.event).decode()
        for entity_id, number in numbers.items():
            if entity_id in data:
                data = data.replace(entity_id, number)
        row = (fact.event.type_name, data, fact.occurred_at, fact.actor)
        streams.setdefault(fact.stream_id.replace(fact.entity_id, numbers[fact.entity_id]), []).append(row)
    return streams


async def test_two_loads_tell_the_same(fresh: Installation, other: Installation) -> None:
    one, two = await fresh.load(), await other.load()
    assert one == two
    assert one.events == sum(one.last.values()) == await fresh.accounts.head() + await fresh.opportunities.head()
    accounts = normalised(await fresh.facts(fresh.accounts))
    assert accounts == normalised(await other.facts(other.accounts))
    assert await in_stories(fresh) == await in_stories(other)


async def in_stories(made: Installation) -> dict[str, list[tuple[Any, ...]]]:
    """Key of the story → its facts. Stories run side by side, so only the order within each is told."""
    names: dict[str, str] = {}
    for fact in await made.facts(made.accounts):
        if "external_id" in type(fact.event).model_fields:
            names[fact.entity_id] = fact.event.external_id
    streams: dict[str, list[Recorded[Any]]] = {}
    for fact in await made.facts(made.opportunities):
        streams.setdefault(fact.stream_id, []).append(fact)
        if isinstance(fact.event, opportunity.ExternalIdLinked):
            names[fact.entity_id] = fact.event.external_id
    told: dict[str, list[tuple[Any, ...]]] = {}
    for stream, facts in streams.items():
        key = next((f.event.external_id for f in facts if isinstance(f.event, opportunity.ExternalIdLinked)), stream)
        if stream.startswith("opportunity_external-"):
            continue
        for entity_id, name in names.items():
            key = key.replace(entity_id, name)
        rows = []
        for fact in facts:
            data = encode(fact.event).decode()
            for entity_id, name in names.items():
                data = data.replace(entity_id, name)
            rows.append((fact.event.type_name, data, fact.occurred_at, fact.actor))
        told[key] = rows
    return told


async def test_a_second_load_changes_nothing_on_any_day(fresh: Installation) -> None:
    first = await fresh.load()
    for today in (TODAY, TODAY + timedelta(days=40)):
        again = await fresh.load(today)
        assert (again.events, again.last) == (0, first.last)
    assert (await fresh.opportunities.head(), await fresh.accounts.head()) == (
        first.last["opportunity"],
        first.last["account"],
    )


async def test_a_load_that_was_broken_off_goes_on_another_day(fresh: Installation, other: Installation) -> None:
    def stop(done: int, total: int) -> None:
        if done < total:
            raise Stopped

    with pytest.raises(Stopped):
        await fresh.load(progress=stop)
    assert await fresh.accounts.head() > 0
    await fresh.load(TODAY + timedelta(days=3))
    await other.load()
    assert await in_stories(fresh) == await in_stories(other)


async def test_everything_lies_before_today_and_within_two_years(fresh: Installation) -> None:
    await fresh.load(date(2026, 3, 29))  # a Sunday
    today = CALENDAR.start_of_day(date(2026, 3, 29))
    facts = [*await fresh.facts(fresh.accounts), *await fresh.facts(fresh.opportunities)]
    assert max(fact.occurred_at for fact in facts) < today
    assert min(fact.occurred_at for fact in facts) > today - timedelta(days=800)


async def test_whatever_can_happen_happens(fresh: Installation) -> None:
    await fresh.load()
    happened = {type(fact.event) for fact in await fresh.facts(fresh.opportunities)}
    # Doubts are an import's, files and second thoughts are somebody's; that a gate was retired, and that all were proved, is
    # told by people and by the clock.
    untold = {
        opportunity.OpportunityFlagged,
        opportunity.GateRetired,
        opportunity.GatesProved,
        opportunity.FileAttached,
        opportunity.WaiverWithdrawn,
    }
    assert set(opportunity.CONTRACT.events.values()) - happened == untold
    states = (await fresh.states()).values()
    outcomes = Counter(state.outcome for state in states)
    assert set(outcomes) == {"open", "paused", "won", "lost", "abandoned"}
    assert 55 <= len(states) <= 65
    assert outcomes["open"] >= 15
    currencies = Counter(state.amount.currency for state in states if state.amount)
    assert currencies["CNY"] > 2 * currencies["USD"] > 0


async def test_open_ones_stand_in_every_state_of_the_funnel_and_every_synchrony(fresh: Installation) -> None:
    await fresh.load()
    (defined,) = await fresh.opportunities.load(PROCESS.stream_id(DEFAULT_PROCESS_KEY))
    process = defined.event
    assert isinstance(process, opportunity.ProcessDefined)
    open_ones = [state for state in (await fresh.states()).values() if state.outcome == "open"]
    funnel = Counter(process.buying[state.buying_stage - 1].funnel_state for state in open_ones)
    assert min(funnel[name] for name in ("searching", "in_funnel", "best")) >= 3
    standing = {(synchrony(process, s.completed_stage, s.buying_stage), s.risk_decision) for s in open_ones}
    assert {
        ("in_sync", None),
        ("behind", None),
        ("ahead", None),
        ("at_risk", None),
        ("at_risk", "catch_up"),
    } <= standing
    stalled = CALENDAR.start_of_day(TODAY - timedelta(days=60))
    assert any(state.stage_since < stalled for state in open_ones)
    assert any(state.entered_stage is not None for state in open_ones)


async def test_in_business_time_each_story_comes_to_the_same(fresh: Installation) -> None:
    await fresh.load()
    streams: dict[str, list[Recorded[Any]]] = {}
    for fact in await fresh.facts(fresh.opportunities):
        streams.setdefault(fact.stream_id, []).append(fact)
    for facts in streams.values():
        assert sorted(facts, key=lambda fact: (fact.occurred_at, fact.version)) == facts


async def test_what_was_quoted_adds_up(fresh: Installation) -> None:
    await fresh.load()
    quotes = [f.event for f in await fresh.facts(fresh.opportunities) if isinstance(f.event, LineItemsAgreed)]
    assert quotes
    for quote in quotes:
        assert all(item.unit_price is not None and item.unit_price.minor > 0 for item in quote.line_items)
    lost = [f.event for f in await fresh.facts(fresh.opportunities) if isinstance(f.event, OpportunityLost)]
    assert sum(loss.competitor is not None for loss in lost) > len(lost) / 2
    assert sum(loss.price is not None for loss in lost) >= 3
    for state in (await fresh.states()).values():
        assert state.amount is not None
        assert 10_000_00 <= state.amount.minor <= 10_000_000_00


async def test_gates_warned_stopped_somebody_and_let_pass_on_a_waiver(fresh: Installation) -> None:
    await fresh.load()
    facts = [fact for fact in await fresh.facts(fresh.opportunities) if fact.stream_id.startswith("opportunity-")]
    told = [type(fact.event) for fact in facts]
    assert told.count(opportunity.GateStopped) == 2
    assert told.count(opportunity.GateWarned) >= 1
    [passed] = [fact for fact in facts if isinstance(fact.event, opportunity.GatePassedOnWaiver)]
    assert passed.event.approved_by != passed.actor
    waived = (await fresh.states())["yf-water"].waivers["promise_agreed"]
    assert (waived.requested_by, waived.approved_by) == ("lin.xiao", "sun.mei")
