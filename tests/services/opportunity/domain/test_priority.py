"""The priority of an opportunity on a day (R4)."""

from datetime import date, timedelta

import pytest

from services.opportunity.domain.priority import priority
from tests.services.opportunity.judged import RULES

TODAY = date(2017, 3, 31)


@pytest.mark.parametrize(
    ("days", "probability", "expected"),
    [
        (30, (50, 50), "A"),
        (30, (40, 60), "A"),
        (30, (40, 59), "B"),
        (31, (50, 50), "B"),
        (-200, (75, 90), "A"),
        (90, (20, 20), "B"),
        (91, (90, 100), "C"),
        (None, (90, 100), "C"),
        (None, (10, 10), "C"),
        (1, (0, 19), "D"),
    ],
)
def test_the_first_rule_that_fits_counts(days: int | None, probability: tuple[int, int], expected: str) -> None:
    close_date = None if days is None else TODAY + timedelta(days=days)
    assert priority(RULES, probability, close_date, TODAY) == expected
