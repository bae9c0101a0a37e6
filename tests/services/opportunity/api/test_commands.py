"""Commands over HTTP: from a body to facts and back, with the manners of the house."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.opportunity.api.steps import STEPS
from services.opportunity.app import SERVICE
from shared.kit.ids import new_id
from shared.testing.apps import running
from shared.testing.servers import Databases
from tests.services.opportunity.api.house import DAY, NOTE, House, done, got, refused

CNY = {"minor": 125_000_00, "currency": "CNY"}


async def head(house: House) -> int:
    """Position of the last fact: the same before and after when nothing was written."""
    return await house.service.backend.store.head()


async def test_a_new_opportunity_is_found_at_its_location_with_the_token_of_its_answer(house: House) -> None:
    async with house.client() as client:
        response = await client.post("/opportunities", json={"name": "灌装三线", "amount": CNY})
        answer = response.json()
        page = await client.get(
            response.headers["location"], headers={"Keyfold-Position": response.headers["keyfold-position"]}
        )
    assert response.status_code == 201
    assert (answer["created"], answer["version"], answer["dry_run"]) == (True, 1, False)
    assert answer["position"] == response.headers["keyfold-position"]
    assert [event["type"] for event in answer["events"]] == ["opportunity.opened"]
    assert page.json()["id"] == answer["id"]
    assert page.json()["name"] == "灌装三线"
    assert page.json()["amount"] == CNY
    assert page.headers["etag"] == response.headers["etag"] == '"1"'


async def test_a_seller_who_names_no_owner_owns_it(house: House) -> None:
    async with house.client("ann", "seller") as client:
        opened = await house.opened(client)
        page = await got(client, f"/opportunities/{opened}")
    assert page["owner"] == {"id": house.ids["ann"], "name": "ann"}


async def test_operations_who_name_no_owner_leave_it_without(house: House) -> None:
    async with house.client("ann", "operations") as client:
        opened = await house.opened(client)
        assert (await got(client, f"/opportunities/{opened}"))["owner"] is None


async def test_a_retry_gets_the_first_answer_and_writes_nothing(house: House) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    async with house.client() as client:
        first = await client.post("/opportunities", json={"name": "Once"}, headers=key)
        before = await head(house)
        again = await client.post("/opportunities", json={"name": "Once"}, headers=key)
        other = await client.post("/opportunities", json={"name": "Twice"}, headers=key)
    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (201, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    await refused(other, 422, "idempotency_key_reused")
    assert await head(house) == before


async def test_a_stale_if_match_is_refused_and_nothing_changes(house: House) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        await done(client, f"/opportunities/{opened}/amount", {"amount": CNY, "occurred_at": DAY})
        before = await head(house)
        rename = {"name": "Other", "occurred_at": DAY}
        stale = await client.post(f"/opportunities/{opened}/name", json=rename, headers={"If-Match": '"1"'})
        assert await head(house) == before
        fresh = await client.post(f"/opportunities/{opened}/name", json=rename, headers={"If-Match": '"2"'})
    await refused(stale, 412, "stale_version")
    assert stale.headers["etag"] == '"2"'
    assert (fresh.status_code, fresh.headers["etag"]) == (200, '"3"')


async def test_a_dry_run_tells_the_facts_and_writes_none(house: House) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        before = await head(house)
        answer = await done(client, f"/opportunities/{opened}/comments?dry_run=true", {"text": "Hm"})
        new = await done(client, "/opportunities?dry_run=true", {"name": "Perhaps"}, status=201)
        assert await head(house) == before
        missing = await client.get(f"/opportunities/{new['id']}")
    assert (answer["dry_run"], answer["position"]) == (True, None)
    assert [event["type"] for event in answer["events"]] == ["opportunity.commented"]
    await refused(missing, 404, "not_found")


async def test_several_changes_are_recorded_together_or_not_at_all(house: House) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        amount, comment = {"action": "amount", "amount": CNY}, {"action": "comment", "text": "Second visit"}
        both = await done(client, f"/opportunities/{opened}/changes", {"changes": [amount, comment]})
        before = await head(house)
        skip = {"action": "skip", "stage": 5, "reason": "In a hurry"}
        none = await client.post(f"/opportunities/{opened}/changes", json={"changes": [comment, skip]})
        assert await head(house) == before
    assert [event["type"] for event in both["events"]] == ["opportunity.amount_estimated", "opportunity.commented"]
    await refused(none, 409, "wrong_stage_order")


async def test_items_of_a_batch_are_taken_or_refused_each_for_itself(house: House) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    unknown = str(new_id())
    items = [
        {"name": "Good"},
        {"name": "Unknown account", "account_id": unknown},
        {"nom": "No opportunity"},
        {"name": "Also good", "amount": CNY},
        "text",
    ]
    async with house.client() as client:
        response = await client.post("/opportunities:batch", json={"items": items}, headers=key)
        answer = response.json()
        before = await head(house)
        again = (await client.post("/opportunities:batch", json={"items": items}, headers=key)).json()
        assert await head(house) == before
        client.headers["Keyfold-Position"] = response.headers["keyfold-position"]
        for index in (0, 3):
            page = await got(client, f"/opportunities/{answer['items'][index]['answer']['id']}")
            assert page["name"] == items[index]["name"]  # type: ignore[index]
    assert (answer["accepted"], answer["refused"]) == (2, 3)
    assert [item["status"] for item in answer["items"]] == [201, 422, 422, 201, 422]
    assert answer["items"][1]["problem"]["errors"][0]["code"] == "unknown_account"
    assert {fault["field"] for fault in answer["items"][2]["problem"]["errors"]} == {"name", "nom"}
    assert [item["answer"] and item["answer"]["id"] for item in again["items"]] == [
        item["answer"] and item["answer"]["id"] for item in answer["items"]
    ]


async def test_a_batch_has_at_most_500_items(house: House) -> None:
    async with house.client() as client:
        response = await client.post("/opportunities:batch", json={"items": [{"name": "x"}] * 501})
    await refused(response, 422, "invalid_request")


async def test_put_by_external_opens_then_changes_what_differs(house: House) -> None:
    path = f"/opportunities/by-external/crm/{uuid4().hex}/a b"
    async with house.client() as client:
        new = await client.put(path, json={"name": "From the CRM", "amount": CNY, "occurred_at": DAY})
        same = await client.put(path, json={"name": "From the CRM", "amount": CNY})
        other = await client.put(path, json={"name": "Renamed"})
        page = await client.get(path, headers={"Keyfold-Position": other.headers["keyfold-position"]})
    assert (new.status_code, same.status_code, other.status_code) == (201, 200, 200)
    assert new.headers["location"] == f"/opportunities/{new.json()['id']}"
    assert same.json()["events"] == []
    assert [event["type"] for event in other.json()["events"]] == ["opportunity.renamed"]
    assert (page.json()["id"], page.json()["name"], page.json()["amount"]) == (new.json()["id"], "Renamed", CNY)


async def test_a_seller_owns_what_a_put_opens_but_a_put_does_not_take_it_over(house: House) -> None:
    path = f"/opportunities/by-external/crm/{uuid4().hex}"
    async with house.client("bob", "seller") as bob, house.client("lin", "manager") as lin:
        await bob.put(path, json={"name": "Bob's"})
        answer = (await lin.put(path, json={"name": "Still Bob's"})).json()
        page = await lin.get(path, headers={"Keyfold-Position": answer["position"]})
    assert [event["type"] for event in answer["events"]] == ["opportunity.renamed"]
    assert page.json()["owner"]["id"] == house.ids["bob"]


async def test_an_external_id_that_nobody_claimed_is_not_found(house: House) -> None:
    async with house.client() as client:
        await refused(await client.get("/opportunities/by-external/crm/nobody"), 404, "not_found")
        await refused(await client.get("/opportunities/by-external/c r m/x"), 422, "bad_system")


@pytest.mark.parametrize(
    ("field", "code"), [("account_id", "unknown_account"), ("owner_id", "unknown_owner"), ("team_id", "unknown_team")]
)
async def test_what_is_named_must_be_known(house: House, field: str, code: str) -> None:
    unknown = str(new_id())
    async with house.client() as client:
        opened = await house.opened(client)
        new = await client.post("/opportunities", json={"name": "x", field: unknown})
        old = await client.post(f"/opportunities/{opened}/{field[:-3]}", json={field: unknown})
    for response in (new, old):
        problem = await refused(response, 422, code)
        assert problem["errors"][0]["field"] == field
        assert unknown in problem["detail"]


async def test_every_unknown_product_is_named_with_its_place(house: House) -> None:
    lines = [{"product_id": str(new_id())}, {"product_id": house.ids["valve"]}, {"product_id": str(new_id())}]
    async with house.client() as client:
        opened = await house.opened(client)
        changes = {"changes": [{"action": "comment", "text": "x"}, {"action": "line_items", "line_items": lines}]}
        problem = await refused(
            await client.post(f"/opportunities/{opened}/changes", json=changes), 422, "unknown_product"
        )
    fields = [fault["field"] for fault in problem["errors"]]
    assert fields == ["changes.1.line_items.0.product_id", "changes.1.line_items.2.product_id"]


async def test_a_command_may_name_what_has_just_been_registered(house: House) -> None:
    async with house.client() as client:
        account = await house.account("Just registered")
        headers = {"Keyfold-Position": house.position}
        response = await client.post("/opportunities", json={"name": "x", "account_id": account}, headers=headers)
    assert response.status_code == 201, response.text


async def test_a_command_is_not_decided_before_what_it_waits_for_is_visible(databases: Databases) -> None:
    body = {"name": "x", "account_id": str(new_id())}
    addresses = await databases("waiting"), await databases("log")
    async with running(SERVICE, *addresses, worker=False) as service, service.client() as client:
        await refused(await client.post("/opportunities", json=body), 422, "unknown_account")
        headers = {"Keyfold-Position": "account/3@1"}
        response = await client.post("/opportunities", json=body, headers=headers)
    problem = await refused(response, 503, "not_yet_visible")
    assert "no worker" in problem["detail"]


async def test_finance_reads_and_does_not_command(house: House) -> None:
    async with house.client("fin", "finance") as client:
        await refused(await client.post("/opportunities", json={"name": "x"}), 403, "role_missing")
        assert (await client.get("/opportunities?limit=1")).status_code == 200


async def test_a_process_gets_a_new_version_only_when_it_differs(house: House) -> None:
    key = f"p{uuid4().hex[:8]}"
    async with house.client("op", "operations") as client:
        default = (await got(client, "/processes/default"))["versions"][-1]
        body = {name: default[name] for name in ("names", "selling", "buying", "at_risk_gap")}
        first = await client.put(f"/processes/{key}", json=body)
        same = await client.put(f"/processes/{key}", json=body)
        second = await client.put(f"/processes/{key}", json={**body, "at_risk_gap": 3})
        client.headers["Keyfold-Position"] = second.headers["keyfold-position"]
        versions = (await got(client, f"/processes/{key}"))["versions"]
    assert (first.status_code, same.status_code, second.status_code) == (201, 200, 201)
    assert first.headers["location"] == f"/processes/{key}"
    assert [version["at_risk_gap"] for version in versions] == [2, 3]
    async with house.client("ann", "seller", "manager") as client:
        await refused(await client.put(f"/processes/{key}", json=body), 403, "role_missing")


async def walk(client: httpx.AsyncClient, opportunity: str, *steps: tuple[str, dict[str, Any]]) -> list[str]:
    """The types of all events that the steps led to."""
    found = []
    for path, body in steps:
        answer = await done(client, f"/opportunities/{opportunity}/{path}", body)
        found += [event["type"].removeprefix("opportunity.") for event in answer["events"]]
    return found


async def test_a_sale_goes_its_way_over_every_route(house: House) -> None:
    milestones = ("information_gathered", "opportunity_assessed", "priority_set")
    account = await house.account("Route")
    async with house.client() as client:
        opened = await house.opened(client, occurred_at=DAY)
        events = await walk(
            client,
            opened,
            *(("milestones", {"milestone": code, "evidence": NOTE}) for code in milestones),
            ("milestones/priority_set/retraction", {"reason": "Too early"}),
            ("milestones", {"milestone": "priority_set", "evidence": NOTE}),
            ("commitments", {"criterion": "meeting_agreed", "evidence": NOTE}),
            ("commitments/meeting_agreed/retraction", {"stage": 1, "reason": "Called off"}),
            ("commitments", {"criterion": "meeting_agreed", "evidence": NOTE}),
            ("buying-stage", {"stage": 5, "evidence": NOTE}),
            ("risk-decision", {"decision": "catch_up", "reason": "Two more engineers"}),
            ("skips", {"stage": 2, "reason": "Known customer"}),
            ("regressions", {"to_completed": 1, "reason": "Begins again"}),
            ("amount", {"amount": CNY}),
            ("close-date", {"close_date": "2017-09-30"}),
            ("line-items", {"line_items": [{"product_id": house.ids["valve"], "quantity": 2, "unit_price": CNY}]}),
            ("owner", {"owner_id": house.ids["ann"]}),
            ("team", {"team_id": house.ids["shanghai"]}),
            ("account", {"account_id": account}),
            ("name", {"name": "Renamed"}),
            ("comments", {"text": "客户要求再次拜访"}),
            ("flags", {"flags": ["undated"]}),
            ("pause", {"reason": "Budget frozen"}),
            ("resume", {}),
            ("lose", {"reason": "Price", "competitor": "Rival", "price": {"minor": 1, "currency": "CNY"}}),
            ("reopen", {"reason": "The other withdrew"}),
            ("abandon", {"reason": "Too small"}),
            ("reopen", {"reason": "Not so small"}),
            ("progress", {"completed_stage": 8, "note": "From the former system"}),
            ("win", {"evidence": NOTE}),
        )
        page = await got(client, f"/opportunities/{opened}")
    expected = {
        "milestone_reached", "stage_entered", "milestone_retracted", "stage_left", "commitment_given", "stage_completed",
        "commitment_retracted", "stage_regressed", "buying_stage_observed", "risk_decided", "stage_skipped",
        "amount_estimated", "close_date_set", "line_items_agreed", "owner_assigned", "team_assigned", "account_assigned",
        "renamed", "commented", "flagged", "paused", "resumed", "lost", "reopened", "abandoned", "won", "gate_warned",
    }  # fmt: skip
    assert set(events) == expected
    assert page["outcome"]["code"] == "won"
    assert page["line_items"][0]["product"]["name"] == "Valve"


async def test_every_action_that_the_page_names_has_its_route(house: House) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        actions = {one["code"] for one in (await got(client, f"/opportunities/{opened}"))["actions"]}
    assert actions <= {step.operation for step in STEPS} | {"file"}
