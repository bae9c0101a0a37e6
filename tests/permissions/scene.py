"""A company in which everybody owns something: both services, real, with a clock that stands still."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from services.account.app import SERVICE as ACCOUNT
from services.opportunity.app import SERVICE as OPPORTUNITY
from shared.kit.clock import FixedClock
from shared.testing.apps import RunningService, running
from shared.web.app import describe
from shared.web.commanding import furthest
from tests.services.opportunity.api.house import got

NOW = datetime(2017, 7, 14, 4, 0, tzinfo=UTC)
LONG_AGO, EARLIER = "2015-01-01T10:00:00+08:00", "2017-02-01T10:00:00+08:00"
CNY = {"minor": 100_000_00, "currency": "CNY"}
NOTE = {"note": "Minutes of the meeting"}
FLAG = "watched"
RULE = {
    "names": {"en": "No skipping", "zh": "不得跳过"},
    "guards": [{"act": "stage_skipped", "stages": [1]}],
    "applies_when": {"fact": "flags", "test": "has", "value": FLAG},
    "requires": {"fact": "flags", "test": "has", "value": "explained"},
    "mode": "warn",
    "message": {"en": "Say what comes next", "zh": "请先填写下一步"},
}
HELD = {
    **RULE,
    "guards": [{"act": "stage_skipped", "stages": [2]}],
    "mode": "control",
    "proofs": [
        {"name": "not explained", "facts": {"flags": [FLAG]}, "expect": "fires"},
        {"name": "explained", "facts": {"flags": [FLAG, "explained"]}, "expect": "passes"},
    ],
}  # waivers are for what stops; who is only warned needs none
# Seller, manager, and so on; `mei` leads the region above the team of `lin`, `wu` another region.
PEOPLE: Mapping[str, str] = {
    "ann": "seller", "bob": "seller", "lin": "manager", "mei": "manager", "olga": "seller", "wu": "manager",
    "eve": "executive", "fay": "finance", "ops": "operations", "erp": "integration",
}  # fmt: skip
EVERYTHING = ("ann", "bob", "team", "olga")
REACH: Mapping[str, tuple[str, ...]] = {
    "ann": ("ann", "team"), "bob": ("bob", "team"), "lin": ("ann", "bob", "team"), "mei": ("ann", "bob", "team"),
    "olga": ("olga",), "wu": ("olga",), "eve": EVERYTHING, "fay": EVERYTHING, "ops": EVERYTHING, "erp": EVERYTHING,
}  # fmt: skip
"""Whose records each of them sees; `team` is one that belongs to the team of Ann and Bob and to nobody."""


@dataclass
class Scene:
    """`ids`: by name. `records`: of each holder, the ids that a path about their record has."""

    services: Mapping[str, RunningService]
    ids: dict[str, Any] = field(default_factory=dict)
    records: dict[str, dict[str, str]] = field(default_factory=dict)
    position: str = ""

    def client(self, service: str, who: str, *roles: str) -> httpx.AsyncClient:
        """Somebody's, with the role that they have or with others; it sees everything that the scene is made of."""
        has = roles or (PEOPLE[who],)
        client = self.services[service].client(who, *has)
        client.headers["x-role"] = has[0]  # for the request that it will be: services do not read it
        client.headers["Keyfold-Position"] = self.position
        return client

    async def does(self, service: str, who: str, path: str, body: Any) -> str:
        """The id in the answer to a command that must succeed; what a busy machine shows late is asked for again."""
        async with asyncio.timeout(60), self.client(service, who) as client:
            while (response := await client.post(path, json=body)).status_code == 503:
                pass
        assert response.status_code in (200, 201), response.text
        answer = response.json()
        self.position = furthest([one for one in (self.position, answer["position"]) if one]) or ""
        return str(answer["id"])

    async def heads(self) -> list[int]:
        """How much is recorded: the same before and after, nothing was."""
        return [await service.backend.store.head() for service in self.services.values()]

    async def company(self) -> None:
        for name in PEOPLE:
            self.ids[name] = await self.does(
                "account", "ops", "/people", {"name": name, "subject": name, "occurred_at": LONG_AGO}
            )
        await self._team("east", "mei")
        await self._team("shanghai", "lin", "ann", "bob", parent={"id": self.ids["east"]})
        await self._team("west", "wu", "olga")
        for kind, more in (("accounts", {}), ("people", {}), ("teams", {}), ("products", {"list_price": CNY})):
            body = {"name": f"One of the {kind}", "occurred_at": LONG_AGO, **more}
            self.ids[kind] = await self.does("account", "ops", f"/{kind}", body)
            link = {"system": "crm", "external_id": "KNOWN"}
            await self.does("account", "ops", f"/{kind}/{self.ids[kind]}/external-ids", link)

        for role, who in (("operations", "ops"), ("executive", "eve")):
            key = {"name": role, "roles": [role], "scopes": ["account:read"], "expires_at": "2018-01-31T00:00:00+08:00"}
            self.ids[f"key of {role}"] = await self.does("account", who, "/api-keys", key)

    async def _team(self, name: str, leader: str, *members: str, **more: Any) -> None:
        known = {"manager": {"id": self.ids[leader]}, "members": [{"id": self.ids[one]} for one in members]}
        body = {"name": name, "occurred_at": LONG_AGO, **known, **more}
        self.ids[name] = await self.does("account", "ops", "/teams", body)

    async def rules(self) -> None:
        self.ids["gate"], self.ids["rule"] = "hold", HELD
        await self.does("opportunity", "ops", "/gates", {"key": "hold", "rule": HELD})
        await self.does("opportunity", "ops", "/gates", {"key": "watch", "rule": RULE})
        async with self.client("opportunity", "ops") as client:
            await got(client, "/gates/watch")  # until it is seen
            run = await client.post("/gates/backtests", json={"gate": "watch"})
        assert run.status_code in (200, 201, 202), run.text
        self.ids["run"] = run.json()["id"]
        paths = describe(OPPORTUNITY).openapi()["paths"]
        for path, method in (
            ("/authority", "post"),
            ("/assessment-model", "post"),
            ("/anomaly-limits", "post"),
            ("/processes/{key}", "put"),
        ):
            content = paths[path][method]["requestBody"]["content"]["application/json"]
            self.ids[path.strip("/").partition("/")[0]] = next(iter(content["examples"].values()))["value"]

    async def opens(self, holder: str, seller: str, label: str, **fields: Any) -> dict[str, str]:
        """An opportunity that shows in every list: what its paths need."""
        body = {
            "name": f"Line of {label}", "amount": CNY, "close_date": "2017-08-30", "account_id": self.ids["accounts"],
            "external_ids": {"crm": f"O-{label}"}, "occurred_at": EARLIER, **fields,
        }  # fmt: skip
        opened = await self.does("opportunity", "ops", "/opportunities", body)
        path = f"/opportunities/{opened}"
        at = {"occurred_at": "2017-03-01T10:00:00+08:00"}
        await self.does("opportunity", "ops", f"{path}/flags", {"flags": [FLAG]})
        evidence = {"milestone": "information_gathered", "evidence": NOTE, **at}
        await self.does("opportunity", "ops", f"{path}/milestones", evidence)
        await self.does("opportunity", "ops", f"{path}/effort", {"visits": 2, "minutes": 60, **at})
        async with self.client("opportunity", "ops") as client:
            files = await client.post(f"{path}/files?name=a.txt", content=b"of " + label.encode(),
                                      headers={"content-type": "text/plain"})  # fmt: skip
        assert files.status_code == 201, files.text
        self.position = furthest([self.position, files.json()["position"]]) or ""
        until = {"reason": "Year end", "expires_at": "2017-07-20T18:00:00+08:00"}
        asked = {"gate": "hold", "opportunity_id": opened, **until}
        return {
            "opportunity_id": opened, "file_id": files.json()["id"], "system": "crm", "external_id": f"O-{label}",
            "waiver_id": await self.does("opportunity", seller, "/waivers", asked),
        }  # fmt: skip

    async def owned(self, holder: str, label: str) -> None:
        """Of everything that somebody can have, one more."""
        seller = "ann" if holder == "team" else holder
        whose = {"team_id": self.ids["shanghai"]} if holder == "team" else {"owner_id": self.ids[holder]}
        record = self.records[holder] = await self.opens(holder, seller, label, **whose)
        second = (await self.opens(holder, seller, f"{label}-won", close_date="2017-05-31", **whose))["opportunity_id"]
        skip = {"stage": 1, "reason": "A framework agreement", "occurred_at": "2017-04-03T10:00:00+08:00"}
        await self.does("opportunity", "ops", f"/opportunities/{second}/skips", skip)
        moved = {"completed_stage": 8, "note": "As it stood", "occurred_at": "2017-04-20T10:00:00+08:00"}
        await self.does("opportunity", "ops", f"/opportunities/{second}/progress", moved)
        won = {"evidence": NOTE, "amount": CNY, "occurred_at": "2017-05-02T10:00:00+08:00"}
        await self.does("opportunity", "ops", f"/opportunities/{second}/win", won)
        if holder == "team":
            return
        third = (await self.opens(holder, seller, f"{label}-lost", **whose))["opportunity_id"]
        lost = {"reason": "Price", "occurred_at": "2017-05-03T10:00:00+08:00"}
        await self.does("opportunity", "ops", f"/opportunities/{third}/lose", lost)
        for period, at in (("2017-Q2", "2017-04-25T10:00:00+08:00"), ("2017-Q3", "2017-06-01T10:00:00+08:00")):
            brought = {"period": period, "person_id": self.ids[holder], "occurred_at": at}
            record["submission_id"] = await self.does("opportunity", "ops", "/forecast/submissions", brought)
            target = {"holder_kind": "person", "holder_id": self.ids[holder], "period": period, "amount": CNY}
            if label == holder:
                await self.does("opportunity", "ops", "/targets", target)
            else:
                await self.does("opportunity", "ops", "/targets", target | {"amount": {"minor": 7, "currency": "USD"}})


@asynccontextmanager
async def open_scene(account_database: str, opportunity_database: str, log: str) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        clock = FixedClock(NOW)
        services = {
            service.name: await stack.enter_async_context(running(service, dsn, log, clock=clock))
            for service, dsn in ((ACCOUNT, account_database), (OPPORTUNITY, opportunity_database))
        }
        scene = Scene(services)
        await scene.company()
        await scene.rules()
        for holder in EVERYTHING:
            await scene.owned(holder, holder)
        yield scene
