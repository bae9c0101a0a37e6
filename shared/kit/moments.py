"""Moments as they may come from outside: with an offset, and in years that any offset, calendar and database can express."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

FIRST_YEAR, LAST_YEAR = 1900, 9000


def within_years(moment: datetime) -> bool:
    """Judged as it is written: in another time zone the first and the last days of the calendar would be no dates at all."""
    return FIRST_YEAR <= moment.year <= LAST_YEAR


def _within_years(moment: datetime) -> datetime:
    if not within_years(moment):
        raise ValueError(f"must be within the years {FIRST_YEAR} to {LAST_YEAR}")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_within_years)]
