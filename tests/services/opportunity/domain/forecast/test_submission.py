"""What a submission keeps: figures that add up its lines, never too many of them, of a period that is not over."""

from datetime import date, timedelta
from typing import Any

import pytest

from services.opportunity.domain.forecast.submission import (
    Holder,
    Snapshot,
    SubmitForecast,
    decide_submit,
    figures,
    judged,
    open_period,
)
from services.opportunity.entities import FORECAST
from shared.contracts.event import encode
from shared.contracts.opportunity import ForecastJudgement, ForecastLine, ForecastMoney, ForecastSubmitted
from shared.contracts.opportunity.forecast import MOST_LINES
from shared.contracts.refusal import RefusedError
from shared.eventstore.entry import LARGEST_EVENT
from shared.kit.calendar import BusinessCalendar
from shared.kit.money import MAX_MINOR, Money
from shared.testing.given import given
from tests.services.opportunity.deals import OWNER
from tests.services.opportunity.records import entity

CALENDAR = BusinessCalendar()
QUARTER = CALENDAR.parse("2017-Q1")
MINE = Holder("person", OWNER)


def line(number: int = 1, minor: int | None = 1001, currency: str = "CNY", **fields: Any) -> ForecastLine:
    amount = None if minor is None else Money(minor=minor, currency=currency)
    usual: dict[str, Any] = {
        "process": "short",
        "process_version": 1,
        "stage": 2,
        "category": "best_case",
        "low": 20,
        "high": 25,
    }
    return ForecastLine(opportunity_id=entity(number), amount=amount, **usual | fields)


def money(category: Any, currency: str, *numbers: int) -> ForecastMoney:
    names = ("count", "minor", "low_minor", "high_minor", "weighted_minor")
    return ForecastMoney(category=category, currency=currency, **dict(zip(names, numbers, strict=True)))


def test_figures_add_up_lines_each_rounded() -> None:
    lines = [line(1), line(2), line(3, None), line(4, 50, category="closed", low=100, high=100), line(5, 9, "USD")]
    assert figures(lines) == (
        money("best_case", "CNY", 2, 2002, 400, 500, 450),  # 1001 · 22.5 % = 225.2…; 20 % = 200.2; 25 % = 250.25
        money("closed", "CNY", 1, 50, 50, 50, 50),
        money("best_case", "USD", 1, 9, 2, 2, 2),
    )


def test_what_is_judged_stands_beside_with_the_rest_weighted() -> None:
    first, last = QUARTER.first_day, QUARTER.last_day
    by_amount = line(1, judged_amount=Money(minor=700, currency="CNY"))
    slipped = line(2, judged_close_date=last + timedelta(days=1))
    stays = line(3, 600, judged_close_date=last)
    won = line(4, 50, category="closed", low=100, high=100, judged_amount=Money(minor=1, currency="CNY"))
    lines = [by_amount, slipped, stays, line(5), line(6, 9, "USD"), line(7, category="omitted")]
    assert judged(lines, first, last) == (ForecastJudgement(currency="CNY", count=3, minor=700 + 600 + 225),)
    assert judged([*lines, won], first, last)[0].minor == 700 + 600 + 225 + 50
    assert judged([line(5)], first, last) == ()


def test_a_submission_keeps_its_lines_and_one_more_is_another() -> None:
    kept, command = Snapshot((line(),)), SubmitForecast(period="2017-Q1", note="As agreed")
    [event] = decide_submit(command, MINE, QUARTER, kept, entity(9))
    assert isinstance(event, ForecastSubmitted)
    assert (event.lines, event.note, event.first_day) == (kept.lines, "As agreed", date(2017, 1, 1))
    assert given(FORECAST, [event, event]).state.made == 2


def test_what_is_judged_into_a_period_is_in_no_other_figure() -> None:
    there, beside = line(1), line(2, 600, judged_close_date=QUARTER.last_day)
    command = SubmitForecast(period="2017-Q1")
    [event] = decide_submit(command, MINE, QUARTER, Snapshot((there,), (beside,)), entity(9))
    assert isinstance(event, ForecastSubmitted)
    assert (event.lines, event.beside, event.figures) == ((there,), (beside,), figures([there]))
    assert event.judged == (ForecastJudgement(currency="CNY", count=1, minor=600 + 225),)


def test_a_period_that_is_over_and_what_is_none_are_refused() -> None:
    assert open_period("2017-Q1", CALENDAR, QUARTER.start) == QUARTER
    for label, code in (("2017-Q1", "period_over"), ("2017-00", "bad_period")):
        with pytest.raises(RefusedError) as refusal:
            open_period(label, CALENDAR, QUARTER.end)
        assert refusal.value.reasons[0].code == code


def test_too_many_lines_are_refused_and_as_many_as_may_be_fit_into_one_event() -> None:
    currencies = ("CNY", "USD", "EUR", "JPY", "GBP")
    largest = [
        line(
            number, MAX_MINOR, currencies[number % 5], process="p" * 60, process_version=10**9, close_date=date(2017, 3, 1),
            judged_amount=Money(minor=MAX_MINOR, currency=currencies[number % 5]), judged_close_date=date(2017, 3, 1),
        )
        for number in range(MOST_LINES)
    ]  # fmt: skip
    command = SubmitForecast(period="2017-Q1", note="n" * 4_000)
    [event] = decide_submit(command, MINE, QUARTER, Snapshot(largest), entity(9))
    assert len(encode(event)) < LARGEST_EVENT
    with pytest.raises(RefusedError) as refusal:
        decide_submit(command, MINE, QUARTER, Snapshot([*largest, line(999)]), entity(9))
    assert refusal.value.reasons[0].code == "too_many_lines"
