"""What is abnormal about one opportunity, and since when (R2)."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from services.opportunity.domain.anomalies.causes import cause
from services.opportunity.domain.anomalies.limits import AnomalyLimits
from services.opportunity.domain.anomalies.opportunity import (
    DEAL_ANOMALIES,
    PERSON_ANOMALIES,
    Anomaly,
    Stretch,
    anomalies_of,
)
from services.opportunity.domain.opportunity.outcome import Lose, Pause, Resume
from services.opportunity.domain.opportunity.progress import AssertProgress, RegressStage
from services.opportunity.domain.opportunity.state import evolve
from services.opportunity.domain.opportunity.terms import ChangeAmount, ChangeCloseDate, Comment
from shared.kit.calendar import BusinessCalendar
from shared.kit.money import Money
from shared.testing.given import START, history
from tests.services.opportunity.deals import FIRST_STAGE, SHORT, Deals, buying, story
from tests.services.opportunity.judged import LIMITS

SHANGHAI = BusinessCalendar()
OPENED_ON = SHANGHAI.day_of(START)
NO_SYNC = LIMITS.model_copy(update={"out_of_sync_by": 9})
BIG = Money(minor=500, currency="CNY")


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def morning(number: int) -> datetime:
    """The first moment of the day so many days after the opening, in Shanghai."""
    return SHANGHAI.start_of_day(OPENED_ON + timedelta(days=number))


def on_day(number: float, command: Any) -> Any:
    return command.model_copy(update={"occurred_at": day(number)})


def found(
    number: float, *commands: Any, limits: AnomalyLimits = LIMITS, codes: Sequence[str] = DEAL_ANOMALIES
) -> list[Anomaly]:
    """What is abnormal so many days after the opening, of the codes; after these commands, as far as they were carried out."""
    state, stretches = Deals.initial, list[Stretch]()
    for fact in history(Deals.category, story(*commands)):
        if fact.occurred_at <= day(number):
            state = evolve(state, fact)
            stretches.append(Stretch(fact.occurred_at, state))
    anomalies = anomalies_of(stretches, SHORT, limits, day(number), SHANGHAI)
    return [one for one in anomalies if one.code in codes]


def test_it_is_stalled_from_the_day_after_the_limit_of_its_stage() -> None:
    assert found(10) == []
    assert found(11) == [Anomaly("stalled", morning(11), 11, 10)]
    assert found(40) == [Anomaly("stalled", morning(11), 40, 10)]
    assert found(10.9)[0].since == morning(11)  # 01:00 UTC and 0.9 days: the eleventh day has begun in Shanghai


def test_a_step_forward_begins_a_new_time_and_no_limit_means_for_ever() -> None:
    moved = tuple(on_day(5, one) for one in FIRST_STAGE)
    assert found(25, *moved, codes=["stalled"]) == []
    assert found(26, *moved, codes=["stalled"]) == [Anomaly("stalled", morning(26), 21, 20)]
    completed = on_day(5, AssertProgress(completed_stage=2, note="CRM"))
    assert found(300, completed, codes=["stalled"]) == []


def test_what_happens_beside_it_does_not_end_that_it_is_stalled() -> None:
    assert found(40, on_day(15, Comment(text="c")), on_day(20, ChangeAmount(amount=BIG))) == [
        Anomaly("stalled", morning(11), 40, 10)
    ]


def test_a_pause_is_a_reason_and_after_it_the_stalled_one_is_stalled_again() -> None:
    paused, resumed = on_day(15, Pause(reason="budget")), on_day(20, Resume())
    assert found(19, paused, resumed) == []
    assert found(21, paused, resumed) == [Anomaly("stalled", day(20), 21, 10)]
    assert found(40, on_day(15, Lose(reason="price"))) == []


def test_it_slips_from_the_push_that_reaches_the_limit_on() -> None:
    dates = [on_day(n, ChangeCloseDate(close_date=date(2018, n + 1, 1))) for n in range(1, 5)]
    assert found(2, *dates, codes=["slipping"]) == []
    assert found(3, *dates, codes=["slipping"]) == [Anomaly("slipping", day(3), 2, 2)]
    assert found(9, *dates, codes=["slipping"]) == [Anomaly("slipping", day(3), 3, 2)]


def test_a_close_date_that_is_set_or_pulled_in_is_no_slip() -> None:
    pulled = [on_day(n, ChangeCloseDate(close_date=date(2018, 12 - n, 1))) for n in range(1, 5)]
    assert found(9, *pulled, codes=["slipping"]) == []


def test_out_of_sync_counts_from_when_it_left_the_customer_however_far_it_went_then() -> None:
    behind, further = on_day(3, buying(2)), on_day(6, buying(3))
    assert found(4, behind, further) == [Anomaly("out_of_sync", day(3), 1, 1)]
    assert found(7, behind, further) == [Anomaly("out_of_sync", day(3), 2, 1)]
    ahead = on_day(4, AssertProgress(completed_stage=2, note="CRM"))
    back = on_day(6, RegressStage(to_completed=0, reason="r"))
    assert found(5, ahead, on_day(5, buying(1)), back, codes=["out_of_sync"]) == [Anomaly("out_of_sync", day(5), -2, 1)]
    assert found(7, ahead, on_day(5, buying(1)), back, codes=["out_of_sync"]) == []


def test_a_big_one_still_early_is_told_from_near_its_close_date_on() -> None:
    terms = (on_day(1, ChangeAmount(amount=BIG)), on_day(1, ChangeCloseDate(close_date=OPENED_ON + timedelta(days=20))))
    near: dict[str, Any] = {"limits": NO_SYNC, "codes": ["early_near_close"]}
    assert found(5, *terms, **near) == []
    assert found(6, *terms, **near) == [Anomaly("early_near_close", morning(6), 14, 14)]
    assert found(25, *terms, **near) == [Anomaly("early_near_close", morning(6), -5, 14)]
    moved = tuple(on_day(7, one) for one in FIRST_STAGE)
    assert found(8, *terms, *moved, **near) == []


def test_a_big_one_that_is_put_off_is_near_its_close_date_no_longer() -> None:
    def closing(number: int, days: int) -> Any:
        return on_day(number, ChangeCloseDate(close_date=OPENED_ON + timedelta(days=days)))

    terms = (on_day(1, ChangeAmount(amount=BIG)), closing(1, 10), closing(5, 40))
    near: dict[str, Any] = {"limits": NO_SYNC, "codes": ["early_near_close"]}
    assert found(4, *terms, **near) == [Anomaly("early_near_close", day(1), 6, 14)]
    assert found(6, *terms, **near) == []
    assert found(30, *terms, **near) == [Anomaly("early_near_close", morning(26), 10, 14)]


def test_a_big_one_that_is_pulled_in_is_near_from_then_on() -> None:
    def closing(number: int, days: int) -> Any:
        return on_day(number, ChangeCloseDate(close_date=OPENED_ON + timedelta(days=days)))

    terms = (on_day(1, ChangeAmount(amount=BIG)), closing(1, 90), closing(5, 10))
    near: dict[str, Any] = {"limits": NO_SYNC, "codes": ["early_near_close"]}
    assert found(4, *terms, **near) == []
    assert found(6, *terms, **near) == [Anomaly("early_near_close", day(5), 4, 14)]


def test_small_ones_and_those_in_a_currency_without_a_limit_are_not_big() -> None:
    close = on_day(1, ChangeCloseDate(close_date=OPENED_ON + timedelta(days=5)))
    for amount in (Money(minor=499, currency="CNY"), Money(minor=900, currency="USD")):
        assert found(4, on_day(1, ChangeAmount(amount=amount)), close) == []


def test_every_anomaly_is_told_in_both_languages() -> None:
    for code in (*DEAL_ANOMALIES, *PERSON_ANOMALIES):
        for value in (-3, 3):
            en, zh = cause(code, value, 2, ("Discovery", "初步调研"))
            assert "3" in en
            assert "3" in zh
            assert "-" not in en or code not in ("out_of_sync", "early_near_close")


def test_one_of_something_is_told_in_the_singular() -> None:
    assert cause("slipping", 1, 1, ("", ""))[0] == "The close date was put off once; the limit is 1"
    assert cause("nothing_new", 1, 1, ("", ""))[0].startswith("No new opportunity for 1 day;")
    assert "1 stage ahead" in cause("out_of_sync", -1, 1, ("Discovery", ""))[0]


def test_the_last_word_is_so_whatever_the_clock_says() -> None:
    state = given_now(*story(buying(2)))
    ahead = [Stretch(day(5), state)]
    assert [one.code for one in anomalies_of(ahead, SHORT, LIMITS, day(4.999), SHANGHAI)] == ["out_of_sync"]


def given_now(*facts: Any) -> Any:
    state = Deals.initial
    for fact in history(Deals.category, facts):
        state = evolve(state, fact)
    return state
