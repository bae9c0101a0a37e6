"""Cursors whose values are what a page's order needs: a text, a day, a number. Anybody can write a cursor."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from shared.web.paging import decode_cursor, page_of
from shared.web.problems import bad_request

T = TypeVar("T")


def after_of(question: Any, cursor: str | None, *shape: Any) -> list[Any] | None:
    """The sort values of the last row of the page before, each of the type that `shape` says; None without a cursor.

    Raises ProblemError 400 for a cursor of another question, and for one that is none of ours.
    """
    values = decode_cursor(question, cursor, len(shape))
    if values is None:
        return None
    try:
        return [TypeAdapter(kind).validate_python(value) for kind, value in zip(shape, values, strict=True)]
    except ValidationError:
        raise bad_request(
            "bad_cursor", "the cursor is none of ours", field="cursor", expected="`next_cursor` of the page before"
        ) from None


def page_after(
    rows: Sequence[T], limit: int, question: Any, key: Callable[[T], Sequence[Any]], after: Sequence[Any] | None
) -> tuple[Sequence[T], str | None]:
    """The page behind `after`, and the cursor of the next one: of rows in memory, in the order of their keys, which differ."""
    rest = rows if after is None else [row for row in rows if tuple(key(row)) > tuple(after)]
    return page_of(rest[: limit + 1], limit, question, key)
