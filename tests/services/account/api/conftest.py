"""A whole account service on real databases, for each test its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.account.app import SERVICE
from shared.testing.apps import RunningService, running
from shared.web.commanding import furthest


@pytest_asyncio.fixture(loop_scope="session")
async def service(databases: Callable[[str], Awaitable[str]]) -> AsyncIterator[RunningService]:
    async with running(SERVICE, await databases("account"), await databases("log")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def http(service: RunningService) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody with every role."""
    async with service.client() as client:
        yield client


class Shop:
    """Puts things in order through the API, and reads what it wrote."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.position = ""

    def wrote(self, position: str | None) -> None:
        """From now on this write is seen, beside those before."""
        self.position = furthest([one for one in (self.position, position) if one]) or ""

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.client.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        self.wrote(answer.headers.get("Keyfold-Position"))
        found: dict[str, Any] = answer.json()
        return found

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = await self.client.get(path, params=query, headers={"Keyfold-Position": self.position})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def shop(http: httpx.AsyncClient) -> Shop:
    return Shop(http)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Asserts a problem of this status and code; its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    return body
