"""Exchange rates: what may be quoted, and how money is converted at one. Whole minor units in, whole minor units out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from pydantic import Field

from services.opportunity.domain.commands import Command
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity.rates import ExchangeRateQuoted, RateSource, RateText
from shared.contracts.refusal import refuse
from shared.kit.money import Currency, currency_digits

FIRST_YEAR, LAST_YEAR = 1900, 2199


class QuoteRate(Command):
    """One unit of `from_currency` is worth `rate` units of `to_currency` on this day, says `source`. A day to come is right too:
    a rate that was agreed for planning."""

    from_currency: Currency = Field(examples=["USD"])
    to_currency: Currency = Field(examples=["CNY"])
    day: date = Field(examples=["2026-10-31"])
    rate: RateText
    source: RateSource

    @property
    def stream(self) -> str:
        """The id of its stream: a year of a pair stays short."""
        return f"{self.from_currency}-{self.to_currency}-{self.day.year}"


@dataclass(frozen=True, slots=True)
class Quoted:
    """The latest word of each source on each day."""

    rates: Mapping[tuple[date, str], Decimal] = field(default_factory=lambda: MappingProxyType({}))


def evolve_rates(state: Quoted, e: Recorded[Any]) -> Quoted:
    if not isinstance(e.event, ExchangeRateQuoted):
        return state
    said = (e.event.day, e.event.source)
    return Quoted(MappingProxyType({**state.rates, said: Decimal(e.event.rate)}))


def decide_quote(state: Quoted, command: QuoteRate) -> Sequence[Event]:
    """Nothing when the source has said so already. Refuses (kind input) a currency against itself, and impossible days."""
    if command.from_currency == command.to_currency:
        raise refuse(
            "same_currency",
            f"{command.from_currency} against itself is always 1",
            field="to_currency",
            expected="another currency",
            kind="input",
        )
    if not FIRST_YEAR <= command.day.year <= LAST_YEAR:
        raise refuse(
            "impossible_date",
            f"day {command.day} cannot be meant",
            field="day",
            expected=f"a day of the years {FIRST_YEAR} to {LAST_YEAR}",
            kind="input",
        )
    if state.rates.get((command.day, command.source)) == Decimal(command.rate):
        return ()
    return (ExchangeRateQuoted(**command.model_dump(exclude={"occurred_at"})),)


@dataclass(frozen=True, slots=True)
class Rate:
    """A quoted rate as it is used. `inverse`: it was quoted the other way round, `to_currency` being what is given."""

    from_currency: str
    to_currency: str
    rate: str
    day: date
    source: str
    inverse: bool = False

    def convert(self, minor: int) -> int:
        """Minor units of what is given → minor units of what is wanted, half to even. The fraction is exact until then."""
        given, wanted = self.from_currency, self.to_currency
        worth = Fraction(self.rate)
        if self.inverse:
            given, wanted, worth = wanted, given, 1 / worth
        shift = currency_digits(wanted) - currency_digits(given)
        return round(Fraction(minor) * worth * Fraction(10) ** shift)
