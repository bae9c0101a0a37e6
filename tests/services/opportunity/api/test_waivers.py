"""Waivers over HTTP, and what the report says of it all."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from shared.contracts.account import PersonChanged, PersonJoined
from shared.contracts.event import Recorded
from shared.eventstore.aggregate import Aggregate
from shared.eventstore.commands import CommandContext, Work
from shared.eventstore.types import JsonObject
from shared.kit.ids import new_id
from shared.web.commanding import furthest, token_of
from tests.services.opportunity.api.house import NOTE, House, done, got, refused
from tests.services.opportunity.api.test_gates import CNY, SKIP, gated, types

SOON = timedelta(days=7)
PEOPLE: Aggregate[None] = Aggregate("person", None, lambda state, _: state)


async def asking(house: House, client: httpx.AsyncClient, gate: str, opportunity: str) -> str:
    until = (house.service.backend.clock.now() + SOON).isoformat()
    body = {"gate": gate, "opportunity_id": opportunity, "reason": "Year end", "expires_at": until}
    return str((await done(client, "/waivers", body, status=201))["id"])


async def pending(client: httpx.AsyncClient, gate: str) -> list[str]:
    answer = await got(client, "/waivers", pending_for="me", gate=gate)
    return [item["id"] for item in answer["items"]]


async def drilled(client: httpx.AsyncClient, link: str) -> list[Any]:
    parts = urlsplit(link)
    items: list[Any] = (await got(client, parts.path, **dict(parse_qsl(parts.query))))["items"]
    return items


async def test_asked_approved_by_another_person_and_passed(house: House) -> None:
    async with (
        house.client() as operations,
        house.client("ann", "seller") as ann,
        house.client("lin", "manager") as lin,
    ):
        gate, opened = await gated(house, operations)
        waiver = await asking(house, ann, gate, opened)
        lin.headers["Keyfold-Position"] = ann.headers["Keyfold-Position"]
        assert await pending(lin, gate) == [waiver]
        await done(lin, f"/waivers/{waiver}/approval", {"note": "Until the visit"})
        told = await got(lin, f"/waivers/{waiver}")
        assert (told["status"]["code"], told["requested_by"], told["decided_by"]) == ("approved", "ann", "lin")
        assert await pending(lin, gate) == []
        ann.headers["Keyfold-Position"] = lin.headers["Keyfold-Position"]
        page = await got(ann, f"/opportunities/{opened}")
        assert [one["verdict"]["code"] for one in page["gates"] if one["gate"] == gate] == ["waived"]
        answer = await done(ann, f"/opportunities/{opened}/skips", SKIP)
        assert types(answer) == ["stage_skipped", "gate_passed_on_waiver"]
        assert answer["events"][1]["data"] == {
            "gate": gate,
            "gate_version": 1,
            "act": "stage_skipped",
            "stage": 1,
            "lacking": [{"fact": "amount", "test": "known"}],
            "waiver_id": waiver,
            "approved_by": "lin",
        }


async def test_who_may_decide(house: House) -> None:
    async with (
        house.client() as operations,
        house.client("lin", "manager") as lin,
        house.client("wu", "manager") as wu,
        house.client("ann", "seller") as ann,
        house.client("mei", "manager") as mei,
    ):
        gate, opened = await gated(house, operations)
        waiver = await asking(house, lin, gate, opened)
        for client in (wu, ann, mei):
            client.headers["Keyfold-Position"] = lin.headers["Keyfold-Position"]
        path = f"/waivers/{waiver}/approval"
        assert (await pending(lin, gate), await pending(wu, gate), await pending(ann, gate)) == ([], [], [])
        assert await pending(mei, gate) == [waiver]
        await refused(await lin.post(path, json={}), 403, "own_request")  # nobody decides on their own request
        await refused(await wu.post(path, json={}), 403, "not_yours")  # leads another region
        await refused(await wu.get(f"/waivers/{waiver}"), 403, "not_yours")
        await refused(await ann.post(path, json={}), 403, "role_missing")
        await done(mei, f"/waivers/{waiver}/refusal", {"reason": "Ask for the amount"})
        await refused(await mei.post(path, json={}), 409, "decided_already")
        await refused(await mei.post(f"/opportunities/{opened}/skips", json=SKIP), 409, "gate_control")
        await refused(await mei.get(f"/waivers/{new_id()}"), 404, "not_found")


async def test_what_may_not_be_asked_for(house: House) -> None:
    async with house.client() as operations, house.client("olga", "seller") as olga:
        gate, opened = await gated(house, operations, mode="stop")
        until = (house.service.backend.clock.now() + SOON).isoformat()
        body = {"gate": gate, "opportunity_id": opened, "reason": "Year end", "expires_at": until}
        await refused(await operations.post("/waivers", json=body), 409, "not_waivable")
        await refused(await olga.post("/waivers", json=body), 403, "not_yours")
        unknown = await operations.post("/waivers", json={**body, "gate": "nonsense"})
        await refused(unknown, 404, "unknown_gate")
        await refused(
            await operations.post("/waivers", json={**body, "expires_at": until[:10]}), 422, "invalid_request"
        )


async def test_the_list_is_turned_page_by_page_newest_first(house: House) -> None:
    async with house.client() as client:
        gate, opened = await gated(house, client)
        made = [await asking(house, client, gate, opened) for _ in range(3)]
        first = await got(client, "/waivers", gate=gate, limit=2)
        second = await got(client, "/waivers", gate=gate, limit=2, cursor=first["next_cursor"])
    assert [item["id"] for item in (*first["items"], *second["items"])] == made[::-1]
    assert second["next_cursor"] is None


async def test_the_report_counts_and_opens_into_its_rows(house: House) -> None:
    async with house.client() as client, house.client("lin", "manager") as lin:
        gate, opened = await gated(house, client)
        for who in (client, lin):
            await refused(await who.post(f"/opportunities/{opened}/skips", json=SKIP), 409, "gate_control")
        waiver = await asking(house, client, gate, opened)
        lin.headers["Keyfold-Position"] = client.headers["Keyfold-Position"]
        await done(lin, f"/waivers/{waiver}/approval", {})
        client.headers["Keyfold-Position"] = lin.headers["Keyfold-Position"]
        await done(client, f"/opportunities/{opened}/skips", SKIP)
        await done(client, f"/opportunities/{opened}/amount", {"amount": CNY})
        await done(client, f"/opportunities/{opened}/lose", {"reason": "Price"})
        [told] = (await got(client, "/gates/effectiveness", gate=gate))["items"]
        effects = {one["verdict"]["code"]: one for one in told["effects"]}
        assert [(effects[verdict]["firings"], effects[verdict]["opportunities"]) for verdict in effects] == [
            (0, 0),
            (2, 1),
            (1, 1),
        ]
        [ended] = effects["stopped"]["outcomes"]
        assert (ended["outcome"]["code"], ended["totals"]) == (
            "lost",
            {"count": 1, "sums": [{"currency": "CNY", "minor": CNY["minor"], "count": 1}]},
        )
        stopped = await drilled(client, effects["stopped"]["drill"])
        first = await got(client, "/gates/firings", gate=gate, verdict="stopped", limit=1)
        second = await got(client, "/gates/firings", gate=gate, verdict="stopped", limit=1, cursor=first["next_cursor"])
        assert stopped == [*first["items"], *second["items"]]
        assert len(stopped) == 2
        rows = await drilled(client, ended["drill"])
        assert [(row["opportunity"]["id"], row["verdict"]["code"], row["actor"]) for row in rows] == [
            (opened, "stopped", "lin"),
            (opened, "stopped", "operator"),
        ]
        assert [(one["approved_by"], one["firings"]) for one in told["waived_by"]] == [("lin", 1)]
        [asked] = told["waivers"]
        assert (asked["status"]["code"], asked["count"]) == ("approved", 1)
        assert [item["id"] for item in await drilled(client, asked["drill"])] == [waiver]
        nothing = await got(client, "/gates/effectiveness", gate=gate, to="2016-12-31")
        assert all(one["firings"] == 0 for one in nothing["items"][0]["effects"])
        assert nothing["items"][0]["waivers"] == []


async def test_the_report_is_over_what_one_may_see(house: House) -> None:
    async with house.client() as client, house.client("olga", "seller") as olga:
        gate, opened = await gated(house, client)
        await refused(await client.post(f"/opportunities/{opened}/skips", json=SKIP), 409, "gate_control")
        await done(client, f"/opportunities/{opened}/comments", {"text": NOTE["note"]})
        olga.headers["Keyfold-Position"] = client.headers["Keyfold-Position"]
        [told] = (await got(olga, "/gates/effectiveness", gate=gate))["items"]
        assert all(one["firings"] == 0 for one in told["effects"])
        assert (await got(olga, "/gates/firings", gate=gate))["items"] == []


async def test_only_one_of_our_people_decides(house: House) -> None:
    async with house.client() as operator, house.client("lin", "manager") as lin:
        gate, opened = await gated(house, operator)
        waiver = await asking(house, lin, gate, opened)
        operator.headers["Keyfold-Position"] = lin.headers["Keyfold-Position"]
        assert await pending(operator, gate) == []
        for path, body in (("approval", {}), ("refusal", {"reason": "no"})):
            await refused(await operator.post(f"/waivers/{waiver}/{path}", json=body), 403, "unknown_person")


async def test_a_person_with_another_login_does_not_decide_on_their_own_request(house: House) -> None:
    person = await house.tell("person", "zoe", PersonJoined(name="zoe", subject="zoe"))
    await house.team("north", person, person)
    async with house.client() as operator, house.client("zoe", "manager") as zoe:
        gate, opened = await gated(house, operator)
        await done(operator, f"/opportunities/{opened}/owner", {"owner_id": person})
        waiver = await asking(house, zoe, gate, opened)
        await renamed(house, person, "zoe.new")
        async with house.client("zoe.new", "manager") as again:
            position = {"Keyfold-Position": f"{house.position},{zoe.headers['Keyfold-Position']}"}
            listed = await again.get("/waivers", params={"gate": gate}, headers=position)
            waiting = await again.get("/waivers", params={"gate": gate, "pending_for": "me"}, headers=position)
            assert [item["id"] for item in listed.json()["items"]] == [waiver]
            assert waiting.json()["items"] == []
            await refused(await again.post(f"/waivers/{waiver}/approval", json={}), 403, "own_request")


async def renamed(house: House, person: str, subject: str) -> None:
    """Gives a person another login."""

    async def decide(work: Work) -> JsonObject:
        await work.state(PEOPLE, person)
        work.append(PEOPLE, person, PersonChanged(name="zoe", subject=subject))
        return {}

    backend = house.accounts.backend
    outcome = await backend.commands.run(CommandContext("house", backend.clock.now(), new_id()), {}, decide)
    recorded = [event for event in outcome.events if isinstance(event, Recorded)]
    house.position = furthest([house.position, token_of("account", recorded) or house.position]) or ""


async def test_what_became_of_a_deal_handed_over_does_not_show(house: House) -> None:
    async with house.client() as operator, house.client("ann", "seller") as ann:
        gate, opened = await gated(house, operator, name="Before")
        waiver = await asking(house, ann, gate, opened)
        shown = await got(ann, f"/waivers/{waiver}")
        assert (shown["opportunity"]["name"], shown["owner"]["id"]) == ("Before", house.ids["ann"])
        await done(operator, f"/opportunities/{opened}/owner", {"owner_id": house.ids["olga"]})
        await done(operator, f"/opportunities/{opened}/name", {"name": "Afterwards"})
        ann.headers["Keyfold-Position"] = operator.headers["Keyfold-Position"]
        shown = await got(ann, f"/waivers/{waiver}")
        assert (shown["opportunity"], shown["owner"], shown["outcome"]) == ({"id": opened, "name": None}, None, None)
        [told] = (await got(ann, "/gates/effectiveness", gate=gate))["items"]
        [asked] = told["waivers"]
        rows = await drilled(ann, asked["drill"])
        assert (asked["count"], [row["id"] for row in rows]) == (1, [waiver])


async def test_whoever_asked_withdraws_it(house: House) -> None:
    async with house.client() as operator, house.client("ann", "seller") as ann, house.client("lin", "manager") as lin:
        gate, opened = await gated(house, operator)
        waiver = await asking(house, ann, gate, opened)
        path = f"/waivers/{waiver}/withdrawal"
        await refused(await lin.post(path, json={}), 403, "not_your_request")
        await done(ann, path, {"reason": "They signed"})
        shown = await got(ann, f"/waivers/{waiver}")
        assert (shown["status"]["code"], shown["decided_by"], shown["note"]) == ("withdrawn", "ann", "They signed")
        lin.headers["Keyfold-Position"] = ann.headers["Keyfold-Position"]
        assert await pending(lin, gate) == []
        listed = await got(lin, "/waivers", gate=gate, status="withdrawn")
        assert [item["id"] for item in listed["items"]] == [waiver]
        await refused(await lin.post(f"/waivers/{waiver}/approval", json={}), 409, "decided_already")
