"""The funnel's figures: what they say, and that each of them can be listed (R3)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, get_args

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.domain.opportunity.outcome import Lose
from services.opportunity.domain.opportunity.progress import AssertProgress
from services.opportunity.queries.cohort import Cohort, Stay
from services.opportunity.queries.funnel import CLOSE_PERIODS, GroupBy, conversion, counts, leakage, time_in_stage
from services.opportunity.queries.listing import totals
from services.opportunity.queries.moment import By
from services.opportunity.queries.view import Filters, View
from shared.contracts.opportunity import OpportunityOpened
from shared.kit.money import Money
from tests.services.opportunity.deals import DEFAULT
from tests.services.opportunity.queries.conftest import Ask
from tests.services.opportunity.queries.world import (
    NOW,
    OWNERS,
    Moment,
    company,
    day,
    lives,
    random_company,
    view,
)
from tests.services.opportunity.records import Ledger

MOMENTS: list[dict[str, Any]] = [{}, {"as_of": day(90)}, {"as_of": day(120), "known_at": day(100)}]
FROM, BEFORE = day(20), day(90)


def narrowed(asked: View, **filters: Any) -> View:
    return replace(asked, filters=replace(asked.filters, **filters))


async def listed(connection: AsyncConnection, asked: View) -> tuple[int, int]:
    """(how many, how much) the list holds."""
    rows = await totals(connection, asked)
    return sum(row["count"] for row in rows), sum(row["amount_minor"] for row in rows)


FILTER_OF: dict[GroupBy, str] = {
    "state": "state",
    "stage": "stage",
    "synchrony": "synchrony",
    "owner": "owner",
    "team": "team",
    "account": "only_account",
    "process": "process",
    "outcome": "outcome",
}


def _filter(asked: View, by: GroupBy, value: Any) -> dict[str, Any]:
    if by not in CLOSE_PERIODS:
        return {FILTER_OF[by]: (value,)}
    period = asked.calendar.parse(value) if value is not None else None
    return {"closes_in": (period and (period.first_day, period.last_day),)}


@pytest.mark.parametrize("by", get_args(GroupBy))
async def test_every_group_can_be_listed_and_together_they_are_all(ask: Ask, by: GroupBy) -> None:
    connection = await ask(random_company(11))
    for moment in MOMENTS:
        for belonging in ("then", "now"):
            asked = view(Filters(outcome=("open", "won", "lost")), belonging=belonging, **moment)
            groups = await counts(connection, asked, [by])
            for group in groups:
                rows = narrowed(asked, **_filter(asked, by, group[by]), currency=(group["currency"],))
                assert await listed(connection, rows) == (group["count"], group["amount_minor"])
            assert sum(group["count"] for group in groups) == (await listed(connection, asked))[0] > 0


async def test_groups_of_several_kinds_divide_each_other(ask: Ask) -> None:
    connection = await ask(random_company(12))
    fine = await counts(connection, view(), ["process", "stage", "owner"])
    coarse = await counts(connection, view(), ["process"])
    for group in coarse:
        parts = [one for one in fine if (one["process"], one["currency"]) == (group["process"], group["currency"])]
        assert sum(one["count"] for one in parts) == group["count"]
        assert sum(one["weighted_minor"] for one in parts) == group["weighted_minor"]


async def test_money_is_weighted_by_the_middle_of_the_range_and_rounded_per_opportunity(ask: Ask) -> None:
    ledger = company()
    amount = Money(minor=333, currency="CNY")
    for number in (1, 2):
        opened = OpportunityOpened(name="x", process="default", process_version=1, amount=amount)
        ledger.opportunity(number, (opened, day(1)))
        ledger.decide(number, [AssertProgress(completed_stage=3, note="n")], [day(2)], process=DEFAULT)
    [group] = await counts(await ask(ledger), view(), ["stage"])
    assert (group["stage"], group["count"], group["amount_minor"], group["weighted_minor"]) == (4, 2, 666, 2 * 83)
    assert type(group["weighted_minor"]) is int


def entered(moments: Sequence[Moment], by: By) -> dict[str, tuple[datetime, bool, Moment]]:
    """Per place: when first entered, whether it went on from there, and how it was then."""
    found: dict[str, tuple[datetime, bool, Moment]] = {}
    for moment in moments:
        place = moment.place(by)
        if place not in found:
            further = any(later.start > moment.start and later.rank(by) > moment.rank(by) for later in moments)
            found[place] = (moment.start, further, moment)
    return found


@pytest.mark.parametrize("by", get_args(By))
@pytest.mark.parametrize("belonging", ["then", "now"])
async def test_a_cohort_is_who_entered_in_the_period_and_every_figure_of_it_can_be_listed(
    ask: Ask, by: By, belonging: str
) -> None:
    ledger = random_company(21)
    connection = await ask(ledger)
    for moment in MOMENTS:
        for owner in ((), (OWNERS[1],)):
            asked = view(Filters(owner=owner), belonging=belonging, **moment)
            found = await conversion(connection, asked, FROM, BEFORE, by)
            if belonging == "then":
                assert {_key(row, by): row["entered"] for row in found} == _model_entered(ledger, by, owner, **moment)
            for row in found:
                cohort = Cohort(by, str(row[by]), FROM, BEFORE)
                process = (row["process"],) if by == "stage" else ()
                rows = narrowed(asked, cohort=cohort, process=process)
                went_on = narrowed(rows, cohort=replace(cohort, went_on=True))
                stayed = narrowed(rows, cohort=replace(cohort, went_on=False))
                assert (await listed(connection, rows))[0] == row["entered"]
                assert (await listed(connection, went_on))[0] == row["advanced"]
                assert (await listed(connection, stayed))[0] == row["entered"] - row["advanced"]
                for outcome in ("won", "lost", "abandoned"):
                    assert (await listed(connection, narrowed(rows, outcome=(outcome,))))[0] == row[outcome]
                assert (await listed(connection, narrowed(rows, outcome=("open", "paused"))))[0] == row["still_open"]


def _key(row: Any, by: By) -> tuple[str, ...]:
    return (row["process"], str(row["stage"])) if by == "stage" else (row["state"],)


def _model_entered(
    ledger: Ledger, by: By, owner: Sequence[str | None], as_of: datetime | None = None, known_at: datetime | None = None
) -> dict[tuple[str, ...], int]:
    found: dict[tuple[str, ...], int] = {}
    for moments in lives(ledger, as_of, known_at).values():
        for place, (at, _, moment) in entered(moments, by).items():
            if FROM <= at < BEFORE and (not owner or moment.state.owner_id in owner):
                key = (moment.state.process, place) if by == "stage" else (place,)
                found[key] = found.get(key, 0) + 1
    return found


@pytest.mark.parametrize("by", get_args(By))
async def test_conversion_is_what_the_facts_say(ask: Ask, by: By) -> None:
    ledger = random_company(22)
    found = {
        _key(row, by): row for row in await conversion(await ask(ledger), view(belonging="then"), FROM, BEFORE, by)
    }
    expected: dict[tuple[str, ...], list[int]] = {}
    for moments in lives(ledger, None, None).values():
        last = moments[-1].state
        for place, (at, further, _) in entered(moments, by).items():
            if FROM <= at < BEFORE:
                row = expected.setdefault((last.process, place) if by == "stage" else (place,), [0, 0, 0, 0])
                row[0] += 1
                row[1] += further or last.outcome == "won"
                row[2] += last.outcome == "won"
                row[3] += last.outcome in ("lost", "abandoned")
    assert {
        key: [row["entered"], row["advanced"], row["won"], row["lost"] + row["abandoned"]] for key, row in found.items()
    } == expected


async def test_a_later_loss_does_not_change_what_the_cohort_was_said_to_be(ask: Ask) -> None:
    ledger = company()
    ledger.opportunity(1, (OpportunityOpened(name="x", process="short", process_version=1), day(30)))
    ledger.decide(1, [Lose(reason="price")], [day(120)])
    connection = await ask(ledger)
    before = await conversion(connection, view(as_of=day(100)), FROM, BEFORE)
    after = await conversion(connection, view(), FROM, BEFORE)
    assert [(row["entered"], row["still_open"], row["lost"]) for row in (*before, *after)] == [(1, 1, 0), (1, 0, 1)]
    assert await conversion(connection, view(), BEFORE, day(130)) == []


@pytest.mark.parametrize("by", get_args(By))
async def test_time_in_a_place_adds_up_all_visits_of_those_who_are_there_and_of_those_who_left(
    ask: Ask, by: By
) -> None:
    ledger = random_company(31)
    connection = await ask(ledger)
    for moment in MOMENTS:
        asked = view(**moment)
        until = moment.get("as_of") or NOW
        expected: dict[tuple[Any, ...], list[float]] = {}
        for moments in lives(ledger, moment.get("as_of"), moment.get("known_at")).values():
            times: dict[str, float] = {}
            for one in moments:
                if not one.state.closed:
                    lasted = (min(one.end or until, until) - one.start).total_seconds()
                    times[one.place(by)] = times.get(one.place(by), 0) + lasted
            for place, seconds in times.items():
                running = not moments[-1].state.closed and moments[-1].place(by) == place
                key = (moments[-1].state.process, place, running) if by == "stage" else (place, running)
                expected.setdefault(key, []).append(seconds / 86_400)
        found = {(*_key(row, by), row["running"]): row for row in await time_in_stage(connection, asked, by)}
        assert {key: row["count"] for key, row in found.items()} == {key: len(days) for key, days in expected.items()}
        for key, row in found.items():
            assert float(row["days_longest"]) == pytest.approx(max(expected[key]))
            process = (row["process"],) if by == "stage" else ()
            stay = Stay(by, str(row[by]), row["running"])
            assert (await listed(connection, narrowed(asked, stay=stay, process=process)))[0] == row["count"]


@pytest.mark.parametrize("by", get_args(By))
async def test_leakage_says_where_and_why_and_can_be_listed(ask: Ask, by: By) -> None:
    connection = await ask(random_company(41, 40))
    for moment in MOMENTS:
        asked = view(belonging="then", **moment)
        found = await leakage(connection, asked, FROM, BEFORE, by)
        for row in found:
            why = {name: (row[name],) for name in ("outcome", "reason", "competitor", "currency")}
            process = (row["process"],) if by == "stage" else ()
            rows = narrowed(asked, **why, **{by: (row[by],)}, process=process, closed_from=FROM, closed_before=BEFORE)
            assert await listed(connection, rows) == (row["count"], row["amount_minor"])
        ended = narrowed(asked, outcome=("lost", "abandoned"), closed_from=FROM, closed_before=BEFORE)
        assert sum(row["count"] for row in found) == (await listed(connection, ended))[0] > 0
