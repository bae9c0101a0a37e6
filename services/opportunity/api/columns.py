"""Lists as files: columns by the codes of their heads, and what a route needs to give its rows as one."""

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, Literal, Protocol, TypeVar

from fastapi import Response
from sqlalchemy import RowMapping

from services.opportunity import export_labels, forecast_labels, pipeline_labels
from services.opportunity.api.names import Named
from services.opportunity.labels import GROUPS, word
from shared.kit.money import Money
from shared.web.export import Cell, Column, export, in_parts, whole_units
from shared.web.language import Language

R = TypeVar("R")
_HEADS = {**export_labels.HEADS, **GROUPS, **pipeline_labels.HEADS, **forecast_labels.HEADS}


class Labelled(Protocol):
    label: str


def columns(language: Language, **cells: Callable[[Any], Cell]) -> list[Column[Any]]:
    """In order, each under the head of its code."""
    return [Column(word(_HEADS, code, language), cell) for code, cell in cells.items()]


def units(amount: Money | None) -> Decimal | None:
    return None if amount is None else whole_units(amount.minor, amount.currency)


def currency(amount: Money | None) -> str | None:
    return None if amount is None else amount.currency


def name(of: Named | None) -> str | None:
    return None if of is None else of.name or of.id


def label(of: Labelled | None) -> str | None:
    return None if of is None else of.label


def per_cent(basis_points: int | None) -> Decimal | None:
    return None if basis_points is None else Decimal(basis_points).scaleb(-2)


async def file_of(
    form: Literal["csv", "xlsx"],
    title: str,
    cells: Sequence[Column[R]],
    rows: Sequence[RowMapping],
    made: Callable[[Sequence[RowMapping]], Awaitable[Sequence[R]]],
    time_zone: str,
) -> Response:
    """The file `title` of the rows that were found, `made` into what is told of them a few at a time."""
    return await export(form, title, cells, in_parts(rows, made), time_zone)
