"""Submitted against won: ratios in basis points, errors that do not cancel out, bands of days."""

from datetime import date

from services.opportunity.domain.forecast.accuracy import (
    Against,
    Expected,
    Sample,
    against,
    band,
    by_holder,
    by_horizon,
    expected,
    horizon,
    share_bp,
)
from shared.contracts.opportunity import ForecastJudgement
from tests.services.opportunity.domain.forecast.test_submission import money

ANN, BOB = ("person", "ann"), ("person", "bob")


def sample(
    weighted: int, won: int, *, days: int = 10, judged: int | None = None, holder: tuple[str, str] = ANN
) -> Sample:
    return Sample(holder, days, "CNY", Expected(weighted, weighted // 2, judged), won)


def test_what_is_expected_of_a_period_is_what_was_won_and_what_is_to_come() -> None:
    figures = [
        money("pipeline", "CNY", 1, 1000, 0, 200, 100),
        money("commit", "CNY", 1, 500, 375, 450, 412),
        money("omitted", "CNY", 1, 9000, 9000, 9000, 9000),
        money("closed", "CNY", 1, 70, 70, 70, 70),
    ]
    judged = [ForecastJudgement(currency="EUR", count=1, minor=5)]
    assert expected(figures, judged, ["USD"]) == {
        "CNY": Expected(100 + 412 + 70, 500 + 70, None),
        "EUR": Expected(0, 0, 5),
        "USD": Expected(0, 0, None),
    }


def test_errors_keep_their_sign_and_do_not_cancel_out() -> None:
    samples = [sample(100, 150), sample(200, 150)]
    assert against(samples, "weighted") == Against(2, 300, 300, 10_000, 0, 100)
    assert against(samples, "commit") == Against(2, 150, 300, 20_000, -150, 150)


def test_where_nobody_judged_there_is_nothing_to_compare() -> None:
    assert against([sample(1, 1)], "judged") is None
    assert against([sample(1, 100), sample(1, 80, judged=120)], "judged") == Against(1, 120, 80, 6_667, 40, 40)


def test_a_share_of_nothing_is_none_and_halves_are_rounded_up() -> None:
    assert share_bp(5, 0) is None
    assert (share_bp(1, 3), share_bp(2, 3), share_bp(1, 20_000), share_bp(0, 7)) == (3_333, 6_667, 1, 0)


def test_days_to_the_end_fall_into_bands() -> None:
    last = date(2017, 3, 31)
    assert [horizon(date(2017, 3, 31), last), horizon(date(2017, 1, 1), last)] == [0, 89]
    assert horizon(date(2017, 4, 1), last) == 0
    bands = [band(days) for days in (0, 7, 8, 30, 31, 60, 61, 90, 91, 400)]
    near = [(0, 7), (0, 7), (8, 30), (8, 30), (31, 60), (31, 60), (61, 90), (61, 90)]
    assert bands == [*near, (91, None), (91, None)]


def test_samples_are_grouped_by_holder_and_by_band() -> None:
    samples = [sample(1, 1, days=90), sample(2, 2, days=3), sample(3, 3, days=95, holder=BOB)]
    assert {key: len(some) for key, some in by_holder(samples).items()} == {(ANN, "CNY"): 2, (BOB, "CNY"): 1}
    assert list(by_horizon(samples)) == [((0, 7), "CNY"), ((61, 90), "CNY"), ((91, None), "CNY")]
