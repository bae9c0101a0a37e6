"""Money: integer minor units with an ISO 4217 currency. Never a float, never a sum over two currencies."""

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Self

from babel.numbers import get_currency_precision, is_currency
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# A comma stands between thousands only: "1054,50" is no amount, for it could be read in two ways.
_AMOUNT = re.compile(r"[+-]?(\d{1,24}|\d{1,3}(,\d{3}){1,7})(\.\d{1,15})?", re.ASCII)
MAX_MINOR = 10**15  # below 2**53, so that a JSON client that reads numbers as doubles loses nothing


@lru_cache(maxsize=512)
def currency_digits(currency: str) -> int:
    """Digits after the point: 2 for CNY and USD, 0 for JPY. Raises ValueError for a code that ISO 4217 does not know."""
    if len(currency) != 3 or currency != currency.upper() or not is_currency(currency):
        raise ValueError(f"{currency!r} is not an ISO 4217 currency code such as CNY or USD")
    return int(get_currency_precision(currency))


def _known_currency(value: str) -> str:
    currency_digits(value)
    return value


Currency = Annotated[str, AfterValidator(_known_currency), Field(examples=["CNY"])]


class Money(BaseModel):
    """`minor` is the amount in the currency's smallest unit (fen, cent): 12.34 USD is minor=1234."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    minor: int = Field(ge=-MAX_MINOR, le=MAX_MINOR, examples=[125_000_00])
    currency: Currency

    @classmethod
    def parse(cls, text: str, currency: str) -> Self:
        """From a decimal text such as "1054" or "12.30". Raises ValueError when it is no number or has too many digits."""
        digits = currency_digits(currency)
        if not _AMOUNT.fullmatch(text.strip()):
            raise ValueError(f"{text[:40]!r} is not an amount of money such as 1054, 12.30 or 1,054.00")
        scaled = Decimal(text.strip().replace(",", "")).scaleb(digits)
        if scaled != scaled.to_integral_value():
            raise ValueError(f"{text[:40]!r} has more than the {digits} decimal places of {currency}")
        return cls(minor=int(scaled), currency=currency)

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError(f"cannot add {other.currency} to {self.currency}: sums never mix currencies")
        return Money(minor=self.minor + other.minor, currency=self.currency)

    def __str__(self) -> str:
        digits = currency_digits(self.currency)
        return f"{Decimal(self.minor).scaleb(-digits):,.{digits}f} {self.currency}"


def total(amounts: Iterable[Money]) -> list[Money]:
    """One sum per currency, in alphabetical order of the currency."""
    sums: dict[str, int] = {}
    for amount in amounts:
        sums[amount.currency] = sums.get(amount.currency, 0) + amount.minor
    return [Money(minor=minor, currency=currency) for currency, minor in sorted(sums.items())]
