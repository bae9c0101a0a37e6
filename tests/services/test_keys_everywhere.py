"""An API key that the account service issued, at every service: through the log, and without asking the account service."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import httpx

from services.account.app import SERVICE as ACCOUNT
from services.catalogue import SERVICES
from services.opportunity.app import SERVICE as OPPORTUNITY
from shared.kit import permissions
from shared.service.api_keys import api_keys
from shared.service.definition import Service
from shared.testing.apps import RunningService, running


def test_every_service_takes_keys_and_has_scopes() -> None:
    assert tuple(SERVICES) == permissions.SERVICES
    assert all(api_keys in service.projections for service in SERVICES.values())


async def test_a_key_is_good_at_another_service_until_it_is_revoked(
    databases: Callable[[str], Awaitable[str]],
) -> None:
    log = await databases("log")
    end = datetime.now(UTC) + timedelta(days=30)
    asked = {"name": "BI", "roles": ["executive"], "scopes": ["opportunity:read"], "expires_at": end.isoformat()}

    async def started(stack: AsyncExitStack, service: Service) -> RunningService:
        return await stack.enter_async_context(running(service, await databases(service.name), log))

    async with AsyncExitStack() as sales, AsyncExitStack() as house:
        opportunity = await started(sales, OPPORTUNITY)
        account = await started(house, ACCOUNT)
        operator = await house.enter_async_context(account.client())
        kept, lost = [(await operator.post("/api-keys", json=asked)).json() for _ in range(2)]
        async with bearing(opportunity, kept["key"]) as good, bearing(opportunity, lost["key"]) as bad:
            await until(good, 200)
            await until(bad, 200)
            assert (await good.post("/opportunities", json={})).json()["code"] == "scope_missing"
            revoked = await operator.post(f"/api-keys/{lost['id']}/revocation", json={"reason": "lost"})
            assert revoked.status_code == 200
            await until(bad, 401)
            assert (await bad.get("/opportunities")).json()["code"] == "key_revoked"
            await house.aclose()
            opportunity.backend.api_keys._kept._kept.clear()
            await until(good, 200)


def bearing(service: RunningService, key: str) -> httpx.AsyncClient:
    return service.stranger({"Authorization": f"Bearer {key}"})


async def until(client: httpx.AsyncClient, status: int) -> None:
    """Asks again until the log has been read and what was remembered is forgotten."""
    async with asyncio.timeout(20):
        while (await client.get("/opportunities")).status_code != status:
            pass
