"""Figures in several currencies, told beside in one: at a quoted rate that is named with its day and its source."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, Field

from services.opportunity.api.asking import Asking
from services.opportunity.domain.rates import Rate
from services.opportunity.queries.rates import Wanted, rates_to
from shared.kit.money import Currency
from shared.web.problems import bad_request
from shared.web.reading import PlainText

LONGEST_AGE = 3_650


class Converting(BaseModel):
    """Into which currency, and at the rate of which day."""

    into: Currency | None = Field(
        default=None,
        alias="in",
        description="Also told in this currency. The sum of each currency is converted and rounded half to even to the smallest "
        "unit; a total is the sum of these. A currency without a rate is refused, never left out.",
        examples=["CNY"],
    )
    rate_on: date | None = Field(
        default=None, description="The day of the rate; default that of the figures.", examples=["2026-10-31"]
    )
    rate_within_days: int = Field(
        default=31, ge=0, le=LONGEST_AGE, description="How old the last rate before `rate_on` may be."
    )
    rate_source: Annotated[PlainText, Field(max_length=100)] | None = Field(
        default=None, description="Whose rates; default the latest word of anybody."
    )


class RateUsed(BaseModel):
    """One `from_currency` = `rate` `to_currency` on `day`, says `source`; `inverse`: used the other way round, divided by."""

    from_currency: str
    to_currency: str
    rate: str = Field(examples=["7.0930"])
    day: date
    source: str
    inverse: bool


@dataclass(frozen=True, slots=True)
class Converter:
    """`rates`: by the currency that is given; none of the wanted one itself."""

    currency: str
    on: date
    rates: Mapping[str, Rate]

    def convert(self, minor: int, given: str) -> int:
        return minor if given == self.currency else self.rates[given].convert(minor)

    def rate(self, given: str) -> RateUsed | None:
        rate = self.rates.get(given)
        return None if rate is None else _told(rate)

    @property
    def used(self) -> list[RateUsed]:
        return [_told(rate) for _, rate in sorted(self.rates.items())]


async def converter(
    asking: Asking,
    ask: Converting,
    given: Collection[str | None],
    at: datetime | None,
    known_at: datetime | None,
) -> Converter | None:
    """None when nothing is to be converted. `at`: the moment of the figures. Raises RefusedError, `rate_missing`."""
    if ask.into is None:
        if ask.rate_on is not None:
            raise bad_request("bad_rate", "rate_on without in", field="rate_on", expected="the currency: in=CNY")
        return None
    on = ask.rate_on or asking.backend.calendar.day_of(at or asking.now)
    if on.toordinal() <= LONGEST_AGE:
        raise bad_request("bad_rate", f"rate_on {on} cannot be meant", field="rate_on", expected="such as 2026-10-31")
    wanted = Wanted(ask.into, on, ask.rate_within_days, ask.rate_source, known_at)
    found = await rates_to(asking.connection, wanted, [one for one in given if one is not None])
    return Converter(ask.into, on, found)


def _told(rate: Rate) -> RateUsed:
    return RateUsed(
        from_currency=rate.from_currency,
        to_currency=rate.to_currency,
        rate=rate.rate,
        day=rate.day,
        source=rate.source,
        inverse=rate.inverse,
    )
