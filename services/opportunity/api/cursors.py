"""Cursors whose values are what a page's order needs: a text, a day, a number. Anybody can write a cursor."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.web.paging import decode_cursor
from shared.web.problems import bad_request


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
