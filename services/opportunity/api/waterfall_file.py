"""The waterfall as a file: in each part and currency the opening, a row for each bar with its sign, and the closing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fastapi import Response

from services.opportunity.api.asking import Asking
from services.opportunity.api.columns import columns
from services.opportunity.api.waterfall_told import Waterfall
from services.opportunity.export_labels import SIDES
from services.opportunity.labels import word
from shared.web.export import Cell, at_once, export, in_parts, whole_units


@dataclass(frozen=True, slots=True)
class _Row:
    """Money and number with their signs: they add up to the closing."""

    group: str | None
    currency: str | None
    label: str
    minor: int
    count: int
    converted_minor: int | None


async def waterfall_file(form: Literal["csv", "xlsx"], told: Waterfall, asking: Asking) -> Response:
    into = next((part.converted.currency for part in told.parts if part.converted is not None), None)

    def converted(row: _Row) -> Cell:
        return None if row.converted_minor is None or into is None else whole_units(row.converted_minor, into)

    cells = columns(
        asking.language,
        group=lambda row: row.group,
        currency=lambda row: row.currency,
        bar=lambda row: row.label,
        delta=lambda row: None if row.currency is None else whole_units(row.minor, row.currency),
        number=lambda row: row.count,
    )
    if into is not None:
        cells += columns(asking.language, converted_currency=lambda _: into, converted=converted)
    rows = list(_rows(told, asking))
    return await export(form, "waterfall", cells, in_parts(rows, at_once), asking.backend.calendar.time_zone)


def _rows(told: Waterfall, asking: Asking) -> Iterator[_Row]:
    for part in told.parts:
        group = None if part.group is None else part.group.label
        for one in part.balances:
            opening, closing = (word(SIDES, side, asking.language) for side in SIDES)
            of = (group, one.currency)
            yield _Row(*of, opening, one.opening.minor, one.opening.count, one.opening.converted_minor)
            for bar in one.bars:
                beside = None if bar.converted_minor is None else bar.sign * bar.converted_minor
                yield _Row(*of, bar.label, bar.sign * bar.minor, bar.sign * bar.count, beside)
            yield _Row(*of, closing, one.closing.minor, one.closing.count, one.closing.converted_minor)
