"""Moments from outside: in years that every time zone can tell."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.kit.moments import Moment

MOMENT = TypeAdapter(Moment)


@pytest.mark.parametrize("text", ["1900-01-01T00:00:00+14:00", "9000-12-31T23:59:59-14:00", "2017-03-31T09:00:00Z"])
def test_every_moment_that_is_taken_is_one_in_utc(text: str) -> None:
    assert MOMENT.validate_python(text).astimezone(UTC) == datetime.fromisoformat(text)


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00+14:00", "1899-12-31T23:59:59Z", "9001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"],
)
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="1900 to 9000"):
        MOMENT.validate_python(text)


def test_a_moment_needs_its_zone() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        MOMENT.validate_python("2017-03-31T09:00:00")
