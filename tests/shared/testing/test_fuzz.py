"""The fuzzer finds an app that breaks, one that answers otherwise than it says, and lets a good one pass."""

from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query, Request
from pydantic import AwareDatetime, BaseModel

from shared.testing.fuzz import assert_no_server_errors, served


class Sum(BaseModel):
    total: int


def app() -> FastAPI:
    made = FastAPI()

    @made.get("/sums/{first}")
    async def add(first: int, second: int) -> Sum:
        return Sum(total=first + second)

    @made.post("/tables", openapi_extra={"requestBody": {"content": {"text/csv": {"schema": {"type": "string"}}}}})
    async def table(request: Request) -> Sum:
        return Sum(total=len(await request.body()))

    return made


async def test_a_good_app_passes() -> None:
    async with served(app()) as address:
        await assert_no_server_errors(address, "token", examples=5)


async def test_a_server_error_is_found_and_named() -> None:
    bad = app()

    @bad.get("/quotients/{first}", responses={422: {}})
    async def divide(first: int, second: int) -> Sum:
        return Sum(total=first // (second * 0))

    async with served(bad) as address:
        with pytest.raises(AssertionError, match=r"GET /quotients/\{first\}: .*"):
            await assert_no_server_errors(address, "token", examples=5)


async def test_an_answer_that_is_not_as_described_is_found() -> None:
    bad = app()

    @bad.get("/words", responses={200: {"model": Sum}}, response_model=None)
    async def words() -> Any:
        return {"total": "many"}

    async with served(bad) as address:
        with pytest.raises(AssertionError, match="GET /words"):
            await assert_no_server_errors(address, "token", known={"/sums/": {"first": "3"}}, examples=5)


class Appointment(BaseModel):
    at: AwareDatetime | None = None


@pytest.mark.parametrize("year", [1, 9999])
async def test_a_moment_that_other_time_zones_cannot_tell_is_tried(year: int) -> None:
    def in_utc(at: datetime | None) -> Sum:
        return Sum(total=at.astimezone(UTC).year if at is not None and at.year == year else 0)

    bad = app()

    @bad.get("/appointments")
    async def asked(ask: Annotated[Appointment, Query()]) -> Sum:
        return in_utc(ask.at)

    @bad.post("/appointments")
    async def made(body: Appointment) -> Sum:
        return in_utc(body.at)

    async with served(bad) as address:
        with pytest.raises(AssertionError) as found:
            await assert_no_server_errors(address, "token", examples=1)
    assert "GET /appointments" in str(found.value)
    assert "POST /appointments" in str(found.value)
