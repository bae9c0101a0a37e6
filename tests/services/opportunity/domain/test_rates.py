"""Exchange rates: what may be quoted, and that converting loses nothing but what rounding says."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from pydantic import ValidationError

from services.opportunity.domain.rates import Quoted, QuoteRate, Rate, decide_quote, evolve_rates
from shared.contracts.opportunity import ExchangeRateQuoted
from shared.testing.given import Result, given

DAY = date(2026, 10, 30)
QUOTED = ExchangeRateQuoted(from_currency="USD", to_currency="CNY", day=DAY, rate="7.0930", source="bank")


class Rates:
    category, initial, evolve = "exchange_rate", Quoted(), staticmethod(evolve_rates)


def quote(**changes: Any) -> QuoteRate:
    said: dict[str, Any] = {**QUOTED.model_dump(), **changes}
    return QuoteRate(**said)


def after(facts: Sequence[ExchangeRateQuoted], command: QuoteRate) -> Result:
    return given(Rates(), list(facts)).when(lambda state: decide_quote(state, command))


def test_a_rate_is_quoted_once() -> None:
    after([], quote()).then(QUOTED)
    after([QUOTED], quote(rate="7.093")).nothing()


def test_another_word_of_the_source_replaces_the_first() -> None:
    after([QUOTED], quote(rate="7.1")).then(QUOTED.model_copy(update={"rate": "7.1"}))


def test_another_source_has_a_word_of_its_own() -> None:
    after([QUOTED], quote(source="treasury")).then(QUOTED.model_copy(update={"source": "treasury"}))


def test_a_currency_against_itself_is_refused() -> None:
    after([], quote(to_currency="USD")).refused("same_currency")


def test_a_day_that_cannot_be_meant_is_refused() -> None:
    after([], quote(day=date(1066, 10, 14))).refused("impossible_date")


@pytest.mark.parametrize("rate", ["0", "0.000", "-1", "1e3", "7,09", "07.1", "NaN", "1." + "1" * 13, ""])
def test_what_is_no_rate_is_none(rate: str) -> None:
    with pytest.raises(ValidationError):
        quote(rate=rate)


@pytest.mark.parametrize(
    ("rate", "given_minor", "wanted"),
    [
        (Rate("USD", "CNY", "7.0930", DAY, "bank"), 100, 709),  # 709.3
        (Rate("USD", "CNY", "0.5", DAY, "bank"), 1, 0),  # half to even
        (Rate("USD", "CNY", "0.5", DAY, "bank"), 3, 2),
        (Rate("JPY", "CNY", "0.05", DAY, "bank"), 1_000, 5_000),  # no digits after the point against two
        (Rate("CNY", "JPY", "20", DAY, "bank"), 5_025, 1_005),
        (Rate("USD", "CNY", "8", DAY, "bank", inverse=True), 1_000, 125),  # yuan into dollars
        (Rate("CNY", "JPY", "20", DAY, "bank", inverse=True), 1_005, 5_025),
    ],
)
def test_money_is_converted_in_whole_units(rate: Rate, given_minor: int, wanted: int) -> None:
    assert rate.convert(given_minor) == wanted


@for_all(st.integers(0, 10**15), st.decimals(min_value="0.0001", max_value="9999", places=4))
def test_there_and_back_again_is_at_most_a_rounding_away(minor: int, number: Any) -> None:
    there = Rate("USD", "CNY", str(number), DAY, "bank")
    back = Rate("USD", "CNY", str(number), DAY, "bank", inverse=True)
    assert abs(back.convert(there.convert(minor)) - minor) <= 1 / (2 * number) + 1
