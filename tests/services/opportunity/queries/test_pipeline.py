"""The pipeline's figures: what it promises, between low and high, and for how long it has stood there (R2)."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from typing import get_args

import pytest

from services.opportunity.queries.funnel import CLOSE_PERIODS, GroupBy, counts
from services.opportunity.queries.pipeline import SYNCHRONIES, pipeline
from services.opportunity.queries.view import Filters
from shared.contracts.opportunity import BuyingStageObserved, OpportunityOpened, StageCompleted, StageEntered
from shared.kit.calendar import BusinessCalendar
from shared.kit.money import Money
from tests.services.opportunity.deals import SEEN
from tests.services.opportunity.queries.conftest import Ask
from tests.services.opportunity.queries.world import company, day, random_company, view
from tests.services.opportunity.records import Ledger

STANDING = Filters(outcome=("open", "paused"))
BY_STAGE = (6, 5, 5, 4, 3, 2, 2, 1)


def entered(ledger: Ledger, number: int, stage: int, amount: Money | None = None) -> None:
    """An opportunity that has entered the stage, in step with its customer."""
    opened = OpportunityOpened(name="x", process="default", process_version=1, amount=amount)
    ledger.opportunity(number, (opened, day(1)))
    if stage > 1:
        ledger.opportunity(number, (StageCompleted(stage=stage - 1), day(2)))
    ledger.opportunity(number, (StageEntered(stage=stage), day(2)))
    if stage > 1:
        ledger.opportunity(number, (BuyingStageObserved(stage=stage, evidence=SEEN), day(2)))


async def test_twenty_eight_opportunities_promise_between_six_and_ten_wins(ask: Ask) -> None:
    ledger, number = company(), 0
    for stage, many in enumerate(BY_STAGE, 1):
        for _ in range(many):
            number += 1
            entered(ledger, number, stage)
    connection = await ask(ledger)
    by_stage = await pipeline(connection, view(STANDING), ["process", "stage"])
    by_state = await pipeline(connection, view(STANDING), ["state"])
    assert [(group.all["stage"], group.all["count"]) for group in by_stage.groups] == list(enumerate(BY_STAGE, 1))
    assert (by_stage.total.all["count"], by_stage.total.all["low"], by_stage.total.all["high"]) == (28, 680, 985)
    assert [(group.all["state"], group.all["count"]) for group in by_state.groups] == [
        ("searching", 11), ("in_funnel", 12), ("best", 5),
    ]  # fmt: skip
    assert by_stage.total.all["in_sync"] == 28


async def test_money_is_told_low_high_and_weighted_each_rounded_per_opportunity(ask: Ask) -> None:
    ledger = company()
    for number, currency in ((1, "CNY"), (2, "CNY"), (3, "USD")):
        entered(ledger, number, 4, Money(minor=333, currency=currency))
    entered(ledger, 4, 4)
    found = await pipeline(await ask(ledger), view(STANDING, now=day(12)), ["stage"])
    [group] = found.groups
    money = [
        tuple(row[name] for name in ("currency", "count", "amount_minor", "low_minor", "high_minor", "weighted_minor"))
        for row in group.worth
    ]
    # 25 % of 333 is 83.25, 30 % is 99.9, 27.5 % is 91.575
    assert money == [("CNY", 2, 666, 166, 200, 184), ("USD", 1, 333, 83, 100, 92), (None, 1, 0, 0, 0, 0)]
    assert all(type(row["weighted_minor"]) is int for row in group.worth)
    assert [tuple(row[name] for name in ("currency", "count")) for row in found.total.worth] == [
        ("CNY", 2),
        ("USD", 1),
        (None, 1),
    ]
    assert (group.all["days_median"], group.all["days_longest"]) == (10.0, 10.0)


@pytest.mark.parametrize("by", [["stage"], ["owner", "synchrony"], ["account"], ["process", "stage", "team"]])
async def test_it_is_the_funnel_seen_closer(ask: Ask, by: list[GroupBy]) -> None:
    connection = await ask(random_company(31))
    for moment in ({}, {"as_of": day(90)}, {"as_of": day(120), "known_at": day(100)}):
        asked = view(STANDING, belonging="then", **moment)  # type: ignore[arg-type]
        found = await pipeline(connection, asked, by)
        funnel = await counts(connection, asked, by)
        names = (*by, "currency", "count", "amount_minor", "weighted_minor")
        told = [tuple(row[name] for name in names) for group in found.groups for row in group.worth]
        assert told == [tuple(row[name] for name in names) for row in funnel]
        assert sum(group.all["count"] for group in found.groups) == found.total.all["count"] > 0
        for group in (*found.groups, found.total):
            assert sum(group.all[name] for name in SYNCHRONIES) == group.all["count"]
            assert sum(row["count"] for row in group.worth) == group.all["count"]
            assert all(row["low_minor"] <= row["weighted_minor"] <= row["high_minor"] for row in group.worth)


async def test_of_nothing_there_is_nothing(ask: Ask) -> None:
    found = await pipeline(
        await ask(company()), view(STANDING, as_of=day(0) - timedelta(days=9)), list(get_args(GroupBy))
    )
    assert not found.groups
    assert not found.total.worth
    assert (found.total.all["count"], found.total.all["low"], found.total.all["days_median"]) == (0, 0, None)


@pytest.mark.parametrize("first_month", [1, 2, 4, 12])
async def test_periods_of_the_close_date_are_those_of_the_business_calendar(ask: Ask, first_month: int) -> None:
    calendar, ledger = BusinessCalendar(fiscal_year_start_month=first_month), company()
    dates = [None, date(2016, 12, 31), date(2017, 1, 1), date(2017, 1, 31), date(2017, 3, 31), date(2017, 4, 1),
             date(2017, 8, 31), date(2017, 11, 30), date(2017, 12, 1), date(2020, 2, 29)]  # fmt: skip
    for number, close in enumerate(dates, 1):
        event = OpportunityOpened(name="x", process="short", process_version=1, close_date=close)
        ledger.opportunity(number, (event, day(1)))
    connection, asked = await ask(ledger), replace(view(STANDING), calendar=calendar)
    for by, kind in CLOSE_PERIODS.items():
        true = Counter(None if one is None else calendar.period_of_day(one, kind).label for one in dates)
        found = await pipeline(connection, asked, [by])
        assert {group.all[by]: group.all["count"] for group in found.groups} == true
        assert {row[by]: row["count"] for row in await counts(connection, asked, [by])} == true
