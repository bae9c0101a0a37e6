"""A small company for the tests of the API: told of by account events, as the account service would tell."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from services.opportunity.app import SERVICE
from shared.contracts.account import (
    CONTRACT,
    AccountRegistered,
    ManagerAppointed,
    PersonJoined,
    ProductListed,
    TeamFormed,
    TeamMemberJoined,
)
from shared.contracts.event import Event, Recorded
from shared.eventstore.aggregate import Aggregate
from shared.eventstore.commands import CommandContext, Work
from shared.eventstore.types import JsonObject
from shared.kit.ids import new_id
from shared.kit.money import Money
from shared.relay.relay import Relay
from shared.service.definition import Service
from shared.service.visibility import NOTHING, Scope
from shared.testing.apps import RunningService, running
from shared.web.commanding import furthest, token_of

LONG_AGO = datetime(2015, 1, 1, tzinfo=UTC)
DAY = "2017-03-01T10:00:00+08:00"
NOTE = {"note": "Minutes of the meeting"}
_STREAMS = {kind: Aggregate(kind, None, lambda state, _: state) for kind in ("account", "person", "team", "product")}


async def _nobody(*_: Any) -> Scope:
    return NOTHING


ACCOUNT = Service(
    name="account", title="Accounts", description="Only its events.", contract=CONTRACT, projections=(), routers=(),
    find=_nobody, found_in=(),
)  # fmt: skip


@dataclass
class House:
    """`ids`: by name. East has the teams of Shanghai (led by Lin, with Ann and Bob) and is led by Mei; West has Olga."""

    accounts: RunningService
    service: RunningService
    ids: dict[str, str] = field(default_factory=dict)
    position: str = ""

    def client(self, subject: str = "operator", *roles: str) -> httpx.AsyncClient:
        """One that sees what the company is made of; without roles one with all of them."""
        client = self.service.client(subject, *roles)
        client.headers["Keyfold-Position"] = self.position
        return client

    async def tell(self, kind: str, name: str, *events: Event) -> str:
        """The id of what the events are about, a new one; the last of its name is kept in `ids`."""
        entity_id = self.ids[name] = str(new_id())

        async def decide(work: Work) -> JsonObject:
            await work.state(_STREAMS[kind], entity_id)
            work.append(_STREAMS[kind], entity_id, *events, occurred_at=LONG_AGO)
            return {}

        backend = self.accounts.backend
        outcome = await backend.commands.run(CommandContext("house", backend.clock.now(), new_id()), {}, decide)
        recorded = [event for event in outcome.events if isinstance(event, Recorded)]
        told = token_of("account", recorded)
        self.position = furthest([token for token in (self.position, told) if token]) or ""
        return entity_id

    async def account(self, name: str, parent: str | None = None) -> str:
        return await self.tell("account", name, AccountRegistered(name=name, parent_id=parent))

    async def person(self, name: str) -> str:
        return await self.tell("person", name, PersonJoined(name=name, names={"zh": f"{name}先生"}, subject=name))

    async def team(self, name: str, leader: str, *members: str, parent: str | None = None) -> str:
        joined = [TeamMemberJoined(person_id=member) for member in members]
        formed = TeamFormed(name=name, parent_team_id=parent)
        return await self.tell("team", name, formed, ManagerAppointed(person_id=leader), *joined)

    async def opened(self, client: httpx.AsyncClient, **fields: Any) -> str:
        """The id of a new opportunity. `client` sees it from now on."""
        body = {"name": "Bottling line", "occurred_at": DAY, **fields}
        return str((await done(client, "/opportunities", body))["id"])


async def done(client: httpx.AsyncClient, path: str, body: Any, *, status: int | None = None) -> dict[str, Any]:
    """The answer of a command that must succeed; what it wrote, the client's next reads wait for."""
    response = await client.post(path, json=body)
    assert response.status_code in ((200, 201) if status is None else (status,)), response.text
    answer: dict[str, Any] = response.json()
    if answer["position"]:
        client.headers["Keyfold-Position"] = answer["position"]
    return answer


async def got(client: httpx.AsyncClient, path: str, **parameters: Any) -> dict[str, Any]:
    """What a read that must succeed shows."""
    response = await client.get(path, params=parameters or None)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem; it names what is wrong under this code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code, problem
    assert problem["detail"]
    return problem


@asynccontextmanager
async def publishing(service: RunningService) -> AsyncIterator[None]:
    """Its relay at work: a service without read models needs no more."""
    backend, stop = service.backend, asyncio.Event()
    relay = asyncio.create_task(Relay(backend.dsn, backend.store, backend.log, backend.service.contract).run(stop))
    try:
        yield
    finally:
        stop.set()
        await relay


@asynccontextmanager
async def open_house(account_database: str, database: str, log: str) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        accounts = await stack.enter_async_context(running(ACCOUNT, account_database, log, worker=False))
        await stack.enter_async_context(publishing(accounts))
        service = await stack.enter_async_context(running(SERVICE, database, log))
        house = House(accounts, service)
        for name in ("mei", "lin", "ann", "bob", "olga", "wu"):
            await house.person(name)
        ids = house.ids
        east = await house.team("east", ids["mei"])
        await house.team("shanghai", ids["lin"], ids["ann"], ids["bob"], parent=east)
        await house.team("west", ids["wu"], ids["olga"])
        price = Money(minor=950_00, currency="CNY")
        await house.tell("product", "valve", ProductListed(name="Valve", names={"zh": "阀门"}, list_price=price))
        await service.backend.reads.wait_for(house.position, SERVICE.found_in)
        yield house
