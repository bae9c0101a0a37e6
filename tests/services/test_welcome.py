"""What a first look is offered: addresses that fit the day."""

from datetime import date

import pytest

from services.welcome import worth_a_look
from shared.kit.calendar import BusinessCalendar


@pytest.mark.parametrize(
    ("calendar", "waterfall", "forecast"),
    [
        (BusinessCalendar(), "from=2025-09-30&to=2025-12-31", "period=2026-Q1&"),
        (BusinessCalendar(fiscal_year_start_month=4), "from=2025-09-30&to=2025-12-31", "period=2026-Q4&"),
        (BusinessCalendar(fiscal_year_start_month=2), "from=2025-10-31&to=2026-01-31", "period=2027-Q1&"),
    ],
)
def test_the_quarters_are_those_of_the_calendar(calendar: BusinessCalendar, waterfall: str, forecast: str) -> None:
    paths = [path for _, path in worth_a_look(calendar, date(2026, 3, 31))]
    assert [path for path in paths if waterfall in path and "/pipeline/waterfall?" in path]
    assert [path for path in paths if forecast in path and "/forecast?" in path]
