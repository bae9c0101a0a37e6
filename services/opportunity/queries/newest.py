"""What lists by time share: the newest first, page by page, narrowed by columns."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, literal, tuple_


def newest_first(
    statement: Select[Any], order: Sequence[ColumnElement[Any]], limit: int | None, after: Sequence[Any] | None
) -> Select[Any]:
    """The next `limit` rows downwards by these columns; `after`: their values in the last row of the page before."""
    if after is not None:
        bound = [literal(value, column.type) for value, column in zip(after, order, strict=True)]
        statement = statement.where(tuple_(*order) < tuple_(*bound))
    return statement.order_by(*(column.desc() for column in order)).limit(limit)


def narrowed_by(*asked: tuple[ColumnElement[Any], Sequence[Any]]) -> list[ColumnElement[bool]]:
    """The column is one of the values; none: any."""
    return [column.in_(values) for column, values in asked if values]
