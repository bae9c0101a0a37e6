"""Money is whole minor units with a currency: exact text in and out, never a mixed sum."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.kit.money import MAX_MINOR, Money, currency_digits, total


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("1054", "CNY", 105_400), ("12.30", "USD", 1230), ("-0.01", "USD", -1), ("1,054.5", "EUR", 105_450),
     (" 7 ", "JPY", 7), ("1.234", "KWD", 1234), ("12.300", "USD", 1230)],
)  # fmt: skip
def test_text_becomes_minor_units_of_its_currency(text: str, currency: str, minor: int) -> None:
    assert Money.parse(text, currency) == Money(minor=minor, currency=currency)


@pytest.mark.parametrize(
    "text", ["", "abc", "12.345", "NaN", "Infinity", "1e-9", "1e999999999", "12 30", "1054,50", "1,2,3", "٣"]
)
def test_text_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"amount|decimal places"):
        Money.parse(text, "USD")


def test_a_fraction_of_a_yen_is_refused() -> None:
    with pytest.raises(ValueError, match="0 decimal places of JPY"):
        Money.parse("7.5", "JPY")


@pytest.mark.parametrize("currency", ["XYZ", "cny", "RMB", "", "US", "DOLLAR"])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        currency_digits(currency)
    with pytest.raises(ValidationError, match="ISO 4217"):
        Money(minor=1, currency=currency)


@pytest.mark.parametrize("minor", [1.0, "1", True, MAX_MINOR + 1, -MAX_MINOR - 1])
def test_minor_units_are_integers_within_bounds(minor: object) -> None:
    with pytest.raises(ValidationError):
        Money.model_validate({"minor": minor, "currency": "CNY"})


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError):
        Money.model_validate({"minor": 1, "currency": "CNY", "amount": 1})


def test_sums_never_mix_currencies() -> None:
    yuan, dollars = Money(minor=100, currency="CNY"), Money(minor=250, currency="USD")
    with pytest.raises(ValueError, match="never mix"):
        yuan + dollars
    assert yuan + yuan == Money(minor=200, currency="CNY")
    assert total([dollars, yuan, dollars]) == [yuan, Money(minor=500, currency="USD")]
    assert total([]) == []


@given(minor=st.integers(-MAX_MINOR, MAX_MINOR), currency=st.sampled_from(["CNY", "JPY", "KWD"]))
def test_printed_money_reads_back(minor: int, currency: str) -> None:
    money = Money(minor=minor, currency=currency)
    amount, code = str(money).split(" ")
    assert Money.parse(amount, code) == money
    assert Decimal(amount.replace(",", "")) == Decimal(minor).scaleb(-currency_digits(currency))
    assert Money.model_validate_json(money.model_dump_json()) == money
