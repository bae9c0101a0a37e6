"""The calendar decides days and periods: bounds, labels, fiscal years, and clocks that jump at midnight."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.kit.calendar import KINDS, MAX_PERIODS, BusinessCalendar, PeriodKind

SHANGHAI = BusinessCalendar()
HALF_PAST_MIDNIGHT = datetime(2017, 9, 30, 16, 30, tzinfo=UTC)  # 00:30 on 1 October in Shanghai


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("day", "2017-10-01"),
        ("week", "2017-W39"),
        ("month", "2017-10"),
        ("quarter", "2017-Q4"),
        ("half", "2017-H2"),
        ("year", "FY2017"),
    ],
)
def test_half_past_midnight_in_shanghai_is_october(kind: PeriodKind, label: str) -> None:
    assert SHANGHAI.period_of(HALF_PAST_MIDNIGHT, kind).label == label
    assert BusinessCalendar("UTC").day_of(HALF_PAST_MIDNIGHT) == date(2017, 9, 30)


def test_a_period_begins_and_ends_at_local_midnight_told_in_utc() -> None:
    quarter = SHANGHAI.parse("2017-Q4")
    assert quarter.start == datetime(2017, 9, 30, 16, tzinfo=UTC)
    assert quarter.end == datetime(2017, 12, 31, 16, tzinfo=UTC)
    assert (quarter.first_day, quarter.last_day) == (date(2017, 10, 1), date(2017, 12, 31))
    assert quarter.contains(quarter.start)
    assert not quarter.contains(quarter.end)
    assert quarter.start.tzinfo is UTC


def test_the_offset_of_a_moment_does_not_matter() -> None:
    elsewhere = HALF_PAST_MIDNIGHT.astimezone(timezone(timedelta(hours=-7)))
    assert SHANGHAI.day_of(elsewhere) == date(2017, 10, 1)


def test_a_moment_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        SHANGHAI.day_of(datetime(2017, 10, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("start_month", "day", "year", "half", "quarter"),
    [
        (4, date(2017, 3, 31), "FY2017", "2017-H2", "2017-Q4"),
        (4, date(2017, 4, 1), "FY2018", "2018-H1", "2018-Q1"),
        (7, date(2017, 12, 31), "FY2018", "2018-H1", "2018-Q2"),
        (12, date(2017, 2, 28), "FY2017", "2017-H1", "2017-Q1"),
        (1, date(2017, 12, 31), "FY2017", "2017-H2", "2017-Q4"),
    ],
)
def test_a_fiscal_year_is_named_after_the_year_it_ends_in(
    start_month: int, day: date, year: str, half: str, quarter: str
) -> None:
    calendar = BusinessCalendar(fiscal_year_start_month=start_month)
    assert calendar.period_of_day(day, "year").label == year
    assert calendar.period_of_day(day, "half").label == half
    assert calendar.period_of_day(day, "quarter").label == quarter


@given(day=st.dates(date(1950, 1, 1), date(2100, 1, 1)))
def test_weeks_from_monday_are_those_of_iso_8601(day: date) -> None:
    year, week, _ = day.isocalendar()
    assert SHANGHAI.period_of_day(day, "week").label == f"{year}-W{week:02d}"


def test_weeks_may_begin_on_sunday() -> None:
    week = BusinessCalendar(week_start=6).period_of_day(date(2017, 10, 1), "week")  # a Sunday
    assert (week.first_day, week.last_day) == (date(2017, 10, 1), date(2017, 10, 7))


@given(
    zone=st.sampled_from(
        ["Asia/Shanghai", "UTC", "America/St_Johns", "America/Toronto", "Pacific/Apia", "Asia/Beirut"]
    ),
    start_month=st.integers(1, 12),
    week_start=st.integers(0, 6),
    moment=st.datetimes(datetime(1901, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    kind=st.sampled_from(KINDS),
)
@example("America/St_Johns", 1, 0, datetime(2005, 10, 30, 2, 40, tzinfo=UTC), "day")  # 00:01 set back to 23:01
@example("America/Toronto", 1, 0, datetime(1919, 3, 31, 4, 40, tzinfo=UTC), "day")  # 23:30 set on to 00:30
@example("Pacific/Apia", 1, 0, datetime(2011, 12, 30, 12, 0, tzinfo=UTC), "day")  # there was no 30 December
def test_every_moment_is_in_its_period_whose_label_leads_back_and_whose_neighbours_touch(
    zone: str, start_month: int, week_start: int, moment: datetime, kind: PeriodKind
) -> None:
    calendar = BusinessCalendar(zone, start_month, week_start)
    period = calendar.period_of(moment, kind)
    assert period.contains(moment)
    assert calendar.parse(period.label) == period
    assert calendar.following(period).start == period.end
    assert calendar.preceding(period).end == period.start


@pytest.mark.parametrize("label", ["0001-02", "1899-12", "9001-Q1", "9998-11", "9998-12-31"])
def test_what_people_ask_for_has_neighbours_of_every_kind(label: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        SHANGHAI.asked(label)
    for edge in ("1900-01", "9000-12"):
        asked = SHANGHAI.asked(edge)
        for kind in KINDS:
            assert SHANGHAI.periods(asked.start, asked.end, kind)


def test_periods_cover_a_span_in_order() -> None:
    start, end = datetime(2016, 12, 31, 15, 59, tzinfo=UTC), datetime(2017, 3, 31, 16, tzinfo=UTC)
    months = SHANGHAI.periods(start, end, "month")
    assert [month.label for month in months] == ["2016-12", "2017-01", "2017-02", "2017-03"]
    assert all(one.end == other.start for one, other in pairwise(months))
    assert SHANGHAI.periods(end, end, "month") == []


def test_a_span_with_too_many_periods_is_refused() -> None:
    with pytest.raises(ValueError, match=str(MAX_PERIODS)):
        SHANGHAI.periods(datetime(1000, 1, 1, tzinfo=UTC), datetime(2017, 1, 1, tzinfo=UTC), "day")


def test_a_day_ends_where_the_next_begins() -> None:
    assert (
        SHANGHAI.end_of_day(date(2017, 6, 30))
        == datetime(2017, 6, 30, 16, tzinfo=UTC)
        == SHANGHAI.start_of_day(date(2017, 7, 1))
    )


@pytest.mark.parametrize(
    "label",
    ["", "2017", "2017-13", "2017-02-29", "2017-W53", "2017-W00", "2017-Q5", "2017-Q0", "2017-H3", "FY17",
     "0000-01", "9999-12", "0001-01-01", "9999-12-31", "2017-Q1\n", "٢٠١٧-01", "2017-1-1"],
)  # fmt: skip
def test_what_is_no_label_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="period"):
        SHANGHAI.parse(label)


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "UTC", "America/Toronto"])
def test_a_moment_at_the_end_of_time_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        BusinessCalendar(zone).period_of(datetime.max.replace(tzinfo=UTC), "year")


@pytest.mark.parametrize(
    ("time_zone", "start_month", "week_start"),
    [
        ("Mars/Olympus", 1, 0),
        ("../etc/passwd", 1, 0),
        ("", 1, 0),
        ("UTC", 0, 0),
        ("UTC", 13, 0),
        ("UTC", 1, 7),
    ],
)
def test_settings_that_make_no_calendar_are_refused(time_zone: str, start_month: int, week_start: int) -> None:
    with pytest.raises(ValueError, match=r"time zone|fiscal|week"):
        BusinessCalendar(time_zone, start_month, week_start)
