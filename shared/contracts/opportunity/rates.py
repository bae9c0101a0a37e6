"""Exchange rates as facts: stream `exchange_rate-<from>-<to>-<year>`."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

from shared.contracts.event import Event
from shared.contracts.opportunity.contract import CONTRACT, NoZero
from shared.kit.money import Currency


def _above_nothing(text: str) -> str:
    if not Decimal(text):
        raise ValueError("a rate is more than 0")
    return text


RateText = Annotated[
    str, Field(pattern=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,12})?$", examples=["7.0930"]), AfterValidator(_above_nothing)
]
"""An exact decimal: up to twelve digits before and after the point."""
RateSource = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"\S", examples=["central bank, midpoint"]), NoZero
]


@CONTRACT.event("opportunity.exchange_rate_quoted", stream="exchange_rate")
class ExchangeRateQuoted(Event):
    """One unit of `from_currency` was worth `rate` units of `to_currency` on this day, says `source`. A later word of the same
    source on the same day replaces the earlier one."""

    from_currency: Currency
    to_currency: Currency
    day: date
    rate: RateText
    source: RateSource
