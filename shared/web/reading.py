"""Reading read models in a route: wait for the caller's own writes, then one snapshot for the whole answer::

    Read = Annotated[AsyncConnection, Depends(reading(timeline, organisation), scope="function")]

`scope="function"` gives the connection back before the answer is sent, which a slow caller may take his time to receive; leave
it out where the answer is streamed from the connection.
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.calendar import BusinessCalendar
from shared.projections.definition import Projection
from shared.web.commanding import BackendNow, PositionNow, ScopeNow
from shared.web.problems import bad_request

WAIT_SECONDS = 5.0
MICROSECOND = timedelta(microseconds=1)  # the database keeps no finer time
MOMENT = "a day such as 2017-06-30 (its end, by the business calendar) or a moment such as 2017-06-30T12:00:00+08:00"
_AWARE = TypeAdapter(AwareDatetime)


def reading(*projections: Projection) -> Callable[..., AsyncIterator[AsyncConnection]]:
    """A dependency that yields a read-only connection on these read models, to a caller with a valid token."""

    async def connect(
        backend: BackendNow,
        _: ScopeNow,  # looked up before: whoever held a connection while waiting for one more could wait for ever
        position: PositionNow,
    ) -> AsyncIterator[AsyncConnection]:
        if position:
            await backend.reads.wait_for(position, projections, WAIT_SECONDS)
        async with backend.reads.connect(*projections) as connection:
            yield connection

    return connect


def plain(value: str) -> str:
    """Text that a database can take; ValueError for any other."""
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("must not contain a zero character or half of a surrogate pair")
    return value


PlainText = Annotated[str, AfterValidator(plain)]
SearchText = Annotated[
    PlainText, Query(max_length=200, description="Words that must all occur; a part of a word is enough.")
]
AsOf = Annotated[
    str | None,
    Query(max_length=40, description=f"How it was then, in business time: {MOMENT}.", examples=["2017-06-30"]),
]
KnownAt = Annotated[
    str | None,
    Query(max_length=40, description=f"By what was known then: {MOMENT}.", examples=["2017-06-30"]),
]


def moment_of(text: str | None, field: str, calendar: BusinessCalendar) -> datetime | None:
    """A moment, or the last one of a day of the business calendar; None for none. Raises ProblemError 400."""
    if text is None:
        return None
    try:
        found = calendar.parse(text).end - MICROSECOND if len(text) == 10 else _AWARE.validate_python(text)
    except ValueError:
        raise bad_request("bad_moment", f"{field} {text!r} is no moment", field=field, expected=MOMENT) from None
    if not 1900 <= found.year <= 9000:
        raise bad_request("bad_moment", f"{field} {text!r} is out of range", field=field, expected="years 1900 to 9000")
    return found
