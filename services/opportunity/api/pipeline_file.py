"""The pipeline as a file: a row for each group and currency."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from fastapi import Response
from sqlalchemy import RowMapping

from services.opportunity.api.asking import Asking
from services.opportunity.api.converting import Converter
from services.opportunity.api.groups import Labeller
from services.opportunity.labels import GROUPS, word
from services.opportunity.pipeline_labels import HEADS
from services.opportunity.queries.funnel import GroupBy
from services.opportunity.queries.pipeline import Standing
from shared.web.export import Cell, Column, export, whole_units

_MONEY = {"amount": "amount_minor", "low": "low_minor", "high": "high_minor", "weighted": "weighted_minor"}


async def pipeline_file(
    form: Literal["csv", "xlsx"],
    groups: Sequence[Standing],
    by: Sequence[GroupBy],
    names: Labeller,
    beside: Converter | None,
    asking: Asking,
) -> Response:
    """Opportunities without an amount have a row of their own, without a currency. Days are those of the row's own part."""
    language = asking.language

    def head(code: str) -> str:
        return word(HEADS, code, language)

    def group(name: GroupBy) -> Column[RowMapping]:
        return Column(word(GROUPS, name, language), lambda row: names.group(name, row[name], row.get("process")).label)

    def money(code: str, field: str) -> Column[RowMapping]:
        return Column(head(code), lambda row: _money(row, field))

    columns = [
        *(group(name) for name in by),
        Column(head("count"), lambda row: row["count"]),
        Column(head("wins_low"), lambda row: row["low"] / 100),
        Column(head("wins_high"), lambda row: row["high"] / 100),
        Column(head("days_median"), lambda row: round(row["days_median"], 1)),
        Column(head("days_longest"), lambda row: round(row["days_longest"], 1)),
        Column(head("currency"), lambda row: row["currency"]),
        *(money(code, field) for code, field in _MONEY.items()),
    ]
    if beside is not None:
        columns += _converted(beside, head)
    return await export(form, "pipeline", columns, _all(groups), asking.backend.calendar.time_zone)


def _converted(beside: Converter, head: Any) -> list[Column[RowMapping]]:
    def amount(row: RowMapping) -> Cell:
        if row["currency"] is None:
            return None
        return whole_units(beside.convert(row["amount_minor"], row["currency"]), beside.currency)

    def rate(field: str) -> Any:
        return lambda row: getattr(beside.rate(row["currency"]), field, None)

    return [
        Column(head("converted_currency"), lambda _: beside.currency),
        Column(head("converted"), amount),
        Column(head("rate"), rate("rate")),
        Column(head("rate_day"), rate("day")),
        Column(head("rate_source"), rate("source")),
    ]


def _money(row: RowMapping, field: str) -> Cell:
    return None if row["currency"] is None else whole_units(row[field], row["currency"])


async def _all(groups: Sequence[Standing]) -> AsyncIterator[Sequence[RowMapping]]:
    yield [row for group in groups for row in group.worth]
