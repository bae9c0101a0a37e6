"""Priorities and effort: the database says what the facts say, and what was spent counts for what it was spent on then."""

import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from services.opportunity.domain.opportunity.page import position
from services.opportunity.domain.priority import priority
from services.opportunity.queries.listing import Order, page, totals
from services.opportunity.queries.priorities import effort, model_of, standing
from services.opportunity.queries.view import Filters
from shared.contracts.opportunity import (
    CloseDateSet,
    EffortSpent,
    OpportunityAssessed,
    OpportunityLost,
    OpportunityOpened,
    StageEntered,
)
from shared.kit.calendar import BusinessCalendar
from shared.service.visibility import NOTHING
from tests.services.opportunity.judged import MODEL, RULES
from tests.services.opportunity.queries.conftest import Ask
from tests.services.opportunity.queries.world import NOW, PROCESSES, Moment, company, day, lives, random_company, view
from tests.services.opportunity.records import Ledger

CALENDAR = BusinessCalendar()


def dated_company(seed: int) -> Ledger:
    """A random company with an assessment model, close dates and effort."""
    ledger, chance = random_company(seed), random.Random(seed)
    ledger.write("assessment_model-default", MODEL, day(0))
    opened = {one.stream_id: one.occurred_at for one in ledger.records if isinstance(one.event, OpportunityOpened)}
    for stream_id, born in opened.items():
        if chance.random() < 0.8:
            ledger.write(stream_id, CloseDateSet(close_date=day(chance.randrange(250)).date()), born)
        for _ in range(chance.randrange(4)):
            spent = EffortSpent(visits=chance.randrange(3), minutes=chance.randrange(200))
            ledger.write(stream_id, spent, born + timedelta(hours=chance.randrange(3_000)))
    return ledger


def expected(moment: Moment, at: Any) -> str | None:
    state = moment.state
    if state.closed:
        return None
    where = position(state, PROCESSES[state.process])
    probability = (where.probability_low, where.probability_high)
    return priority(RULES, probability, state.close_date, CALENDAR.day_of(at))


@pytest.mark.parametrize("seed", range(3))
async def test_the_database_gives_every_opportunity_the_priority_that_the_rules_give_it(ask: Ask, seed: int) -> None:
    connection = await ask(ledger := dated_company(seed))
    letters = set[str | None]()
    for as_of in (None, day(30), day(90), day(140)):
        rows = await page(connection, view(as_of=as_of), Order.parse("priority"), 1_000)
        found = {row["opportunity_id"]: row["priority"] for row in rows}
        known = lives(ledger, as_of, None)
        assert found == {key: expected(moments[-1], as_of or NOW) for key, moments in known.items()}
        assert [row["priority"] or "Z" for row in rows] == sorted(row["priority"] or "Z" for row in rows)
        letters |= set(found.values())
        counted = Counter[str | None]()
        for row in await standing(connection, view(as_of=as_of)):
            counted[row["priority"]] += row["count"]
        assert counted == Counter(letter for letter in found.values() if letter)
        chosen = await totals(connection, view(Filters(priority=("B", None)), as_of=as_of))
        assert sum(row["count"] for row in chosen) == sum(letter in ("B", None) for letter in found.values())
    assert letters == {"A", "B", "C", "D", None}


@pytest.mark.parametrize("seed", range(3))
async def test_effort_counts_for_the_priority_at_the_time(ask: Ask, seed: int) -> None:
    connection = await ask(ledger := dated_company(seed))
    start, end = day(20), day(110)
    told = Counter[str | None]()
    for one in ledger.records:
        if isinstance(one.event, EffortSpent) and start <= one.occurred_at < end:
            moment = lives(ledger, one.occurred_at, None)[one.entity_id][-1]
            told[expected(moment, one.occurred_at)] += one.event.minutes
    rows = await effort(connection, view(), start, end)
    assert {row["priority"]: row["minutes"] for row in rows} == dict(told)
    assert await effort(connection, view(as_of=day(10)), start, end) == []
    assert await effort(connection, view(scope=NOTHING), start, end) == []


async def test_what_was_spent_on_an_a_stays_spent_on_an_a(ask: Ask) -> None:
    ledger = company()
    ledger.write("assessment_model-default", MODEL, day(0))
    opened = OpportunityOpened(name="Deal", process="short", process_version=1, close_date=day(50).date())
    ledger.opportunity(
        1,
        (opened, day(1)),
        (EffortSpent(visits=1, minutes=60), day(2)),  # nothing is entered: D
        (StageEntered(stage=1), day(3)),  # 0 to 20 per cent: C
        (EffortSpent(visits=2), day(4)),
        (OpportunityLost(reason="price"), day(5)),
        (EffortSpent(visits=4), day(6)),
    )
    connection = await ask(ledger)
    rows = await effort(connection, view(), day(0), day(100))
    assert [(row["priority"], row["visits"], row["minutes"]) for row in rows] == [
        ("C", 2, 0),
        ("D", 1, 60),
        (None, 4, 0),
    ]
    assert await model_of(connection) == MODEL
    assert await model_of(connection, 2) is None


async def test_the_list_shows_the_latest_assessment_and_all_that_was_spent(ask: Ask) -> None:
    ledger = company()
    opened = OpportunityOpened(name="Deal", process="short", process_version=1)
    scored = OpportunityAssessed(
        model_version=1, scores={"fit": 1}, total=100, threshold=250, decision="drop", reason="Too small"
    )
    ledger.opportunity(
        1, (opened, day(1)), (scored, day(2)), (EffortSpent(visits=1), day(3)), (EffortSpent(minutes=30), day(4))
    )
    connection = await ask(ledger)
    names = ("assessment_total", "assessment_decision", "visits", "minutes", "priority")
    [row] = await page(connection, view(), Order(), 10)
    assert [row[name] for name in names] == [100, "drop", 1, 30, None]  # nobody has defined a model
    [before] = await page(connection, view(as_of=day(1)), Order(), 10)
    assert [before[name] for name in names] == [None, None, 0, 0, None]
