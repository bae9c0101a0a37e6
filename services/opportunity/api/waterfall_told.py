"""How a waterfall is told: parts, currencies, bars; and that they balance."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from services.opportunity.api.converting import Converter, RateUsed
from services.opportunity.api.groups import Group, Labeller
from services.opportunity.queries.moves import SIGNS, Bar, Clock, PartBy
from services.opportunity.queries.view import Belonging


class Rows(NamedTuple):
    """As they were asked for: a row per part and currency, and for `bars` per bar."""

    opening: Sequence[RowMapping]
    bars: Sequence[RowMapping]
    closing: Sequence[RowMapping]

    def of(self, name: str, value: Any) -> "Rows":
        return Rows(*([row for row in found if row[name] == value] for found in self))


class Amount(BaseModel):
    """`count` opportunities are worth `minor` together. `drill`: the list of them."""

    minor: int
    count: int
    converted_minor: int | None = None
    drill: str


class BarTold(BaseModel):
    """`sign` says whether `minor` and `count` add to the pipeline or take from it. `changes`: the steps behind it, under `drill`; a
    change of the amount alone adds no number."""

    bar: Bar
    label: str
    sign: int
    minor: int
    count: int
    changes: int
    converted_minor: int | None = None
    drill: str


class Balance(BaseModel):
    """One currency; null: opportunities without an amount. `difference_…`: opening and bars less closing. It is 0; if it is not,
    the figures are wrong, and it says by how much."""

    currency: str | None
    opening: Amount
    bars: list[BarTold]
    closing: Amount
    difference_minor: int
    difference_count: int


class ConvertedBar(BaseModel):
    bar: Bar
    sign: int
    minor: int


class ConvertedBalance(BaseModel):
    """All currencies together: sums of what each currency's figure is converted to. Rounding each figure leaves a little over:
    opening + bars + `rounding_minor` = closing."""

    currency: str
    opening_minor: int
    bars: list[ConvertedBar]
    rounding_minor: int
    closing_minor: int


class WaterfallPart(BaseModel):
    """`group` is null when nothing is told apart."""

    group: Group | None
    balances: list[Balance]
    converted: ConvertedBalance | None


class Waterfall(BaseModel):
    """`start`, `end`: the moments between which it is told. Bars that are missing are 0."""

    clock: Clock
    start: datetime
    end: datetime
    known_at: datetime | None
    closing: str | None = Field(description="The period in which members are expected to close.")
    belonging: Belonging
    group_by: PartBy | None
    parts: list[WaterfallPart]
    rate_on: date | None
    rates: list[RateUsed]


class Links(Protocol):
    def label(self, bar: str) -> str: ...

    def standing(self, moment: str, part: Any, currency: str | None) -> str: ...

    def steps(self, bar: str, part: Any, currency: str | None) -> str: ...


def told(by: PartBy | None, rows: Rows, names: Labeller, links: Links, beside: Converter | None) -> list[WaterfallPart]:
    """A part for each value of the group, in the order of the labels; one alone without."""
    if by is None:
        return [_part(None, None, rows, links, beside)]
    values = {row[by] for found in rows for row in found}
    groups = {value: names.group(by, value, None) for value in values}
    ordered = sorted(values, key=lambda value: (value is None, groups[value].label, str(value)))
    return [_part(groups[value], value, rows.of(by, value), links, beside) for value in ordered]


def _part(group: Group | None, value: Any, rows: Rows, links: Links, beside: Converter | None) -> WaterfallPart:
    currencies = sorted({row["currency"] for found in rows for row in found}, key=lambda one: (one is None, one))
    balances = [_balance(one, value, rows.of("currency", one), links, beside) for one in currencies]
    return WaterfallPart(group=group, balances=balances, converted=_together(balances, beside))


def _balance(currency: str | None, value: Any, rows: Rows, links: Links, beside: Converter | None) -> Balance:
    def converted(minor: int) -> int | None:
        return beside.convert(minor, currency) if beside is not None and currency is not None else None

    def amount(moment: str, found: Sequence[RowMapping]) -> Amount:
        minor, count = sum(int(row["amount_minor"]) for row in found), sum(row["count"] for row in found)
        drill = links.standing(moment, value, currency)
        return Amount(minor=minor, count=count, converted_minor=converted(minor), drill=drill)

    def bars() -> Iterator[BarTold]:
        of = {row["bar"]: row for row in rows.bars}
        for bar, sign in SIGNS.items():
            if bar in of:
                row = of[bar]
                minor = sign * int(row["minor"])
                yield BarTold(
                    bar=bar,
                    label=links.label(bar),
                    sign=sign,
                    minor=minor,
                    count=sign * int(row["count"]),
                    changes=row["changes"],
                    converted_minor=converted(minor),
                    drill=links.steps(bar, value, currency),
                )

    opening, closing, moved = amount("opening", rows.opening), amount("closing", rows.closing), list(bars())
    return Balance(
        currency=currency,
        opening=opening,
        bars=moved,
        closing=closing,
        difference_minor=opening.minor + sum(bar.sign * bar.minor for bar in moved) - closing.minor,
        difference_count=opening.count + sum(bar.sign * bar.count for bar in moved) - closing.count,
    )


def _together(balances: Sequence[Balance], beside: Converter | None) -> ConvertedBalance | None:
    if beside is None:
        return None
    opening = sum(one.opening.converted_minor or 0 for one in balances)
    closing = sum(one.closing.converted_minor or 0 for one in balances)
    sums: dict[Bar, int] = {}
    for one in balances:
        for bar in one.bars:
            sums[bar.bar] = sums.get(bar.bar, 0) + (bar.converted_minor or 0)
    bars = [ConvertedBar(bar=bar, sign=sign, minor=sums[bar]) for bar, sign in SIGNS.items() if bar in sums]
    return ConvertedBalance(
        currency=beside.currency,
        opening_minor=opening,
        bars=bars,
        rounding_minor=closing - opening - sum(bar.sign * bar.minor for bar in bars),
        closing_minor=closing,
    )
