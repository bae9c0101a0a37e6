"""The invented company reckons with its deals: targets, rates, submissions that a deal slips out of, and what is abnormal."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from services.demo.company import company
from services.demo.expected import SLIPPED, SUBMITTED_AFTER, acts_of, line_of
from services.demo.planned import COMPANY_ASKED, PEOPLE, SOURCE
from services.demo.stories import stories
from services.opportunity.domain.anomalies.limits import DEFAULT_LIMITS_KEY
from services.opportunity.domain.anomalies.opportunity import Anomaly, Stretch, anomalies_of
from services.opportunity.domain.forecast.submission import figures
from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from services.opportunity.domain.process import DEFAULT_PROCESS_KEY
from services.opportunity.entities import ANOMALY_LIMITS, PROCESS
from shared.contracts import opportunity
from shared.contracts.event import Recorded
from shared.contracts.opportunity import ForecastLine, ForecastSubmitted, ProcessDefined, TargetSet
from tests.services.demo.conftest import CALENDAR, TODAY, Installation
from tests.services.demo.test_telling import IDS, OWN, told

QUARTER = CALENDAR.parse("2025-Q4")  # the last one that had ended


async def process_of(fresh: Installation) -> ProcessDefined:
    [defined] = await fresh.opportunities.load(PROCESS.stream_id(DEFAULT_PROCESS_KEY))
    assert isinstance(defined.event, ProcessDefined)
    return defined.event


async def submitted(fresh: Installation) -> list[Recorded[Any]]:
    return [f for f in await fresh.facts(fresh.opportunities) if isinstance(f.event, ForecastSubmitted)]


def as_of(facts: Sequence[Recorded[Any]], at: datetime) -> dict[str, OpportunityState]:
    """Id → how each opportunity was at a moment, from its facts alone."""
    states: dict[str, OpportunityState] = {}
    for fact in facts:
        if fact.stream_id.startswith("opportunity-") and fact.occurred_at <= at:
            states[fact.entity_id] = evolve(states.get(fact.entity_id, INITIAL), fact)
    return states


async def test_what_was_submitted_is_what_the_facts_said_at_that_moment(fresh: Installation) -> None:
    await fresh.load()
    facts, process = await fresh.facts(fresh.opportunities), await process_of(fresh)
    made = await submitted(fresh)
    assert len(made) == len(SUBMITTED_AFTER) * (len(PEOPLE) + 4)
    for one in made:
        e, lines = one.event, list[ForecastLine]()
        assert (e.period, e.first_day, e.last_day) == (QUARTER.label, QUARTER.first_day, QUARTER.last_day)
        assert QUARTER.contains(one.occurred_at)
        for opportunity_id, state in as_of(facts, one.occurred_at).items():
            whose = state.owner_id if e.holder_kind == "person" else state.team_id
            won = state.outcome == "won" and state.outcome_since >= QUARTER.start
            due = state.close_date and CALENDAR.day_of(one.occurred_at) <= state.close_date <= QUARTER.last_day
            if whose == e.holder_id and (won or (state.outcome in ("open", "paused") and due)):
                lines.append(line_of(opportunity_id, state, process))
        assert sorted(e.lines, key=str) == sorted(lines, key=str)
        assert e.figures == figures(e.lines)
    assert len([one for one in made if one.event.lines]) > len(made) / 3


async def test_a_deal_slipped_out_of_the_quarter_after_it_was_committed(fresh: Installation) -> None:
    await fresh.load()
    [slipped] = [s for s in (await fresh.states()).values() if s.external_ids["demo"] == SLIPPED]
    made = [one for one in await submitted(fresh) if one.event.holder_id == slipped.owner_id]
    assert len(made) == len(SUBMITTED_AFTER)
    for one in made:
        [line] = [line for line in one.event.lines if line.amount == slipped.amount]
        assert line.category == "commit"
    assert slipped.outcome == "open"
    assert slipped.close_date is not None
    assert slipped.close_date >= TODAY > QUARTER.last_day
    assert QUARTER.contains(slipped.pushed_out_at[-1])
    assert slipped.pushed_out_at[-1] > made[-1].occurred_at


async def test_something_was_won_in_the_quarter_that_had_been_submitted(fresh: Installation) -> None:
    await fresh.load()
    expected = {line.opportunity_id for one in await submitted(fresh) for line in one.event.lines}
    facts = await fresh.facts(fresh.opportunities)
    won = {f.entity_id for f in facts if isinstance(f.event, opportunity.OpportunityWon)}
    won &= {f.entity_id for f in facts if QUARTER.contains(f.occurred_at)}
    assert won & expected


async def test_targets_of_people_a_team_and_the_company_for_both_quarters(fresh: Installation) -> None:
    await fresh.load()
    facts = [f for f in await fresh.facts(fresh.opportunities) if isinstance(f.event, TargetSet)]
    asked = [(f.event.period, f.event.holder_kind) for f in facts]
    for period in ("2025-Q4", "2026-Q1"):
        counts = [asked.count((period, kind)) for kind in ("person", "team", "company")]
        assert counts == [len(PEOPLE), 1, len(COMPANY_ASKED)]
    for fact in facts:
        assert CALENDAR.day_of(fact.occurred_at) == fact.event.first_day - timedelta(days=1)


async def test_a_dollar_is_quoted_for_every_month_and_a_deal_changes_its_currency(fresh: Installation) -> None:
    await fresh.load()
    facts = await fresh.facts(fresh.opportunities)
    quotes = [f.event for f in facts if isinstance(f.event, opportunity.ExchangeRateQuoted)]
    days = [quote.day for quote in quotes]
    assert (days[0], days[-1]) == (date(2024, 4, 1), date(2026, 3, 1))
    assert len(set(days)) == len(days) == 24
    assert {(q.from_currency, q.to_currency, q.source) for q in quotes} == {("USD", "CNY", SOURCE)}
    assert all(6.9 < float(quote.rate) < 7.3 for quote in quotes)
    changed = [
        f.event
        for f in facts
        if isinstance(f.event, opportunity.AmountEstimated) and f.event.former and f.event.amount != f.event.former
    ]
    assert [(e.former.currency, e.amount.currency) for e in changed if e.former] == [("USD", "CNY")]


async def test_one_stands_still_beyond_its_limit_and_one_is_ahead_of_its_customer(fresh: Installation) -> None:
    await fresh.load()
    facts = await fresh.facts(fresh.opportunities)
    stretches: dict[str, list[Stretch]] = {}
    for fact in facts:
        if fact.stream_id.startswith("opportunity-"):
            history = stretches.setdefault(fact.entity_id, [])
            history.append(Stretch(fact.occurred_at, evolve(history[-1].state if history else INITIAL, fact)))
    [limits] = [f.event for f in await fresh.opportunities.load(ANOMALY_LIMITS.stream_id(DEFAULT_LIMITS_KEY))]
    assert isinstance(limits, opportunity.AnomalyLimitsDefined)
    process, now = await process_of(fresh), CALENDAR.start_of_day(TODAY)
    found: dict[str, tuple[Anomaly, ...]] = {}
    for history in stretches.values():
        found[history[-1].state.external_ids["demo"]] = anomalies_of(history, process, limits, now, CALENDAR)
    assert {one.code for one in found["bl-digital"]} >= {"stalled"}
    assert {one.code for one in found[SLIPPED]} >= {"stalled"}
    [ahead] = [one for one in found["yn-storage-c"] if one.code == "out_of_sync"]
    assert ahead.value < 0
    assert {one.code for some in found.values() for one in some} == {
        "stalled",
        "slipping",
        "out_of_sync",
        "early_near_close",
    }


async def test_two_are_categorised_and_a_manager_judges_one(fresh: Installation) -> None:
    await fresh.load()
    states = await fresh.states()
    chosen = {key: state.forecast for key, state in states.items() if state.forecast}
    assert chosen == {"yn-storage-c": "pipeline", "bh-breaker": "omitted", SLIPPED: "commit"}
    [(key, judged)] = [(key, state) for key, state in states.items() if state.judgement]
    assert judged.judgement is not None
    assert (key, judged.judgement.judged_by) == ("jb-monitor-3", "chen.jing")
    assert judged.amount is not None
    assert judged.judgement.amount is not None
    assert judged.judgement.amount.minor < judged.amount.minor


@pytest.mark.parametrize("today", [date(2026, 1, 1), date(2026, 3, 31), date(2026, 4, 1), date(2026, 12, 31)])
def test_the_quarter_is_told_in_order_whatever_the_day(today: date) -> None:
    quarter = CALENDAR.preceding(CALENDAR.period_of_day(today, "quarter"))
    moments = [act.at for act in acts_of(OWN, IDS, "demo", CALENDAR, quarter)]
    assert moments == sorted(moments)
    assert all(quarter.contains(moment) for moment in moments)
    assert moments[-1] < CALENDAR.start_of_day(today)
    [slipped] = [story for story in stories() if story.key == SLIPPED]
    assert told(slipped, today)[-1].at < moments[0]


def test_everybody_who_is_asked_for_something_sells() -> None:
    sellers = {person for team in company().teams.values() for person in team.members}
    assert set(PEOPLE) == sellers - {leaver.person for leaver in company().leavers}
