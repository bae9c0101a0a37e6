"""Targets are dated facts: the latest effective word counts, the others stay on record."""

from datetime import date, timedelta
from typing import Any

import pytest

from services.opportunity.domain.forecast.targets import SetTarget, decide_target
from services.opportunity.entities import TARGET
from shared.contracts.opportunity import TargetSet
from shared.kit.calendar import BusinessCalendar
from shared.kit.money import Money
from shared.testing.given import START, Result, given
from tests.services.opportunity.deals import OWNER

CALENDAR = BusinessCalendar(fiscal_year_start_month=4)
CNY, USD = Money(minor=300, currency="CNY"), Money(minor=300, currency="USD")
QUARTER: dict[str, Any] = {"period": "2018-Q1", "first_day": date(2017, 4, 1), "last_day": date(2017, 6, 30)}


def wanted(amount: Money = CNY, **fields: Any) -> SetTarget:
    return SetTarget(**{"holder_kind": "person", "holder_id": OWNER, "period": "2018-Q1"} | fields, amount=amount)


def was(amount: Money) -> TargetSet:
    return TargetSet(holder_kind="person", holder_id=OWNER, amount=amount, **QUARTER)


def decided(command: SetTarget, *facts: Any, days: float = 9) -> Result:
    at = START + timedelta(days=days)
    return given(TARGET, facts).when(lambda state: decide_target(state, command, CALENDAR, at))


def test_a_target_has_the_days_of_its_period_by_the_business_calendar() -> None:
    decided(wanted()).then(was(CNY))


def test_the_same_again_is_nothing_and_another_is_a_fact() -> None:
    decided(wanted(), was(CNY)).nothing()
    decided(wanted(USD), was(CNY)).then(was(USD))
    nothing = Money(minor=0, currency="CNY")
    decided(wanted(nothing), was(CNY)).then(was(nothing))


def test_a_word_for_an_earlier_time_counts_only_then() -> None:
    earlier = Money(minor=200, currency="CNY")
    decided(wanted(earlier), (was(CNY), START + timedelta(days=20)), days=10).then(was(earlier))
    facts = [(was(CNY), START + timedelta(days=20)), (was(earlier), START)]
    assert given(TARGET, facts).state.latest["CNY"][1] == 300


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"period": "2018-13"}, "bad_period"),
        ({"holder_id": None}, "bad_holder"),
        ({"holder_kind": "company"}, "bad_holder"),
        ({"amount": Money(minor=-1, currency="CNY")}, "negative_amount"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any], code: str) -> None:
    decided(wanted(**fields)).refused(code)


def test_a_holder_and_period_have_a_stream_of_their_own() -> None:
    assert wanted().stream == f"person-{OWNER}-2018-Q1"
    assert wanted(holder_kind="company", holder_id=None).stream == "company-2018-Q1"
