"""The forecast as a file: a row for each period, group and currency."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Response

from services.opportunity import forecast_labels
from services.opportunity.api.asking import Asking
from services.opportunity.api.forecast_figures import ForecastSum, ForecastWorth, SlotSum
from services.opportunity.api.forecast_told import Teller
from services.opportunity.domain.forecast.submission import CATEGORIES
from services.opportunity.labels import GROUPS, word
from services.opportunity.pipeline_labels import HEADS
from services.opportunity.queries.forecast import APART
from services.opportunity.queries.funnel import GroupBy
from shared.web.export import Cell, Column, export, whole_units

_MONEY = {"amount": "minor", "low": "low_minor", "high": "high_minor", "weighted": "weighted_minor"}
_AGAINST = {"gap": "gap_minor", "gap_low": "gap_low_minor", "gap_high": "gap_high_minor"}


@dataclass(frozen=True, slots=True)
class _Row:
    """`worth` None: what has no amount."""

    period: str
    groups: dict[GroupBy, Any]
    count: int
    worth: ForecastWorth | None


async def forecast_file(form: Literal["csv", "xlsx"], teller: Teller, asking: Asking) -> Response:
    """Periods first, then what stands in none. Opportunities without an amount have a row of their own, without a currency."""
    language = asking.language
    heads = {**HEADS, **forecast_labels.HEADS}

    def head(code: str) -> str:
        return word(heads, code, language)

    def money(code: str, of: Callable[[ForecastWorth], int | None]) -> Column[_Row]:
        return Column(head(code), lambda row: _amount(row, of))

    def named(name: str) -> Callable[[ForecastWorth], int | None]:
        return lambda worth: getattr(worth, name)

    def category(code: str) -> Column[_Row]:
        of = lambda worth: sum(one.minor for one in worth.categories if one.code == code)  # noqa: E731
        return Column(word(forecast_labels.CATEGORIES, code, language), lambda row: _amount(row, of))

    columns = [
        Column(head("period"), lambda row: row.period),
        *(_group(name, word(GROUPS, name, language)) for name in teller.by),
        Column(head("count"), lambda row: row.count),
        Column(head("currency"), lambda row: row.worth.currency if row.worth else None),
        *(money(code, named(name)) for code, name in _MONEY.items()),
        *(category(code) for code in CATEGORIES),
        money("target", lambda worth: worth.target.minor if worth.target else None),
        *(money(code, named(name)) for code, name in _AGAINST.items()),
        money("judged", lambda worth: worth.judged.minor if worth.judged else None),
    ]
    if teller.beside is not None:
        columns += [
            Column(head("converted_currency"), lambda row: _beside(row, "currency")),
            Column(head("converted"), _converted),
            Column(head("rate"), lambda row: _rate(row, "rate")),
            Column(head("rate_day"), lambda row: _rate(row, "day")),
            Column(head("rate_source"), lambda row: _rate(row, "source")),
        ]
    return await export(form, "forecast", columns, _rows(teller, language), asking.backend.calendar.time_zone)


async def _rows(teller: Teller, language: Any) -> AsyncIterator[Sequence[_Row]]:
    figures: Sequence[ForecastSum] = await asyncio.to_thread(teller.figures if teller.by else teller.totals)
    told: list[tuple[str, SlotSum]] = [(one.period.label, one) for one in figures]
    told += [(word(forecast_labels.SLOTS, slot, language), one) for slot in APART for one in teller.apart(slot)]
    for period, figure in told:
        groups = getattr(figure, "groups", {})
        rows = [_Row(period, groups, worth.count, worth) for worth in figure.worth]
        if figure.without_amount.count:
            rows.append(_Row(period, groups, figure.without_amount.count, None))
        yield rows


def _group(name: GroupBy, head: str) -> Column[_Row]:
    return Column(head, lambda row: row.groups[name].label)


def _amount(row: _Row, of: Callable[[ForecastWorth], int | None]) -> Cell:
    minor = None if row.worth is None else of(row.worth)
    return None if row.worth is None or minor is None else whole_units(minor, row.worth.currency)


def _beside(row: _Row, field: str) -> Any:
    return None if row.worth is None else getattr(row.worth.converted, field, None)


def _converted(row: _Row) -> Cell:
    """What is open, at the rate beside."""
    beside = None if row.worth is None else row.worth.converted
    return None if beside is None else whole_units(beside.minor, beside.currency)


def _rate(row: _Row, field: str) -> Any:
    return getattr(_beside(row, "rate"), field, None)
