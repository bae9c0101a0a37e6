"""Pages: an order, a limit and an opaque cursor. A cursor belongs to the question that it came from."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import orjson
from fastapi import Query
from pydantic import BaseModel, Field

from shared.web.problems import bad_request

T = TypeVar("T")
DEFAULT_LIMIT, LARGEST_LIMIT = 50, 200
LONGEST_CURSOR = 2_000

Limit = Annotated[int, Query(ge=1, le=LARGEST_LIMIT, description="Rows of a page.")]
CursorText = Annotated[
    str | None,
    Query(max_length=LONGEST_CURSOR, description="`next_cursor` of the page before, with the same parameters."),
]


class Page(BaseModel, Generic[T]):
    """`next_cursor` is null on the last page."""

    items: list[T]
    next_cursor: str | None = Field(default=None, description="send it as `cursor` for the next page")


def encode_cursor(question: Any, after: Sequence[Any]) -> str:
    """`question`: everything that decides which rows come in which order; `after`: the sort values of the last row."""
    content = orjson.dumps([_fingerprint(question), list(after)], default=str)
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode_cursor(question: Any, cursor: str | None, values: int) -> list[Any] | None:
    """The `values` sort values; None without a cursor. Raises ProblemError 400 for one of another question, or none of ours."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        fingerprint, after = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error, ValueError, TypeError):
        raise _bad_cursor("the cursor is none of ours") from None
    if fingerprint != _fingerprint(question):
        raise _bad_cursor("the cursor belongs to other parameters")
    if not isinstance(after, list) or len(after) != values or any(isinstance(one, list | dict) for one in after):
        raise _bad_cursor("the cursor is none of ours")
    return after


def page_of(
    rows: Sequence[Any], limit: int, question: Any, after: Callable[[Any], Sequence[Any]]
) -> tuple[Sequence[Any], str | None]:
    """From `limit + 1` rows asked for: the page, and the cursor of the next one if there is one."""
    if len(rows) <= limit:
        return rows, None
    page = rows[:limit]
    return page, encode_cursor(question, after(page[-1]))


def _bad_cursor(message: str) -> Exception:
    return bad_request(
        "bad_cursor", message, field="cursor", expected="`next_cursor` of the page before, same parameters"
    )


def _fingerprint(question: Any) -> str:
    return hashlib.sha256(orjson.dumps(question, default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
