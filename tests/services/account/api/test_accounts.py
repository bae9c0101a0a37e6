"""Accounts over HTTP."""

from urllib.parse import quote

import httpx

from shared.testing.apps import RunningService
from tests.services.account.api.conftest import Shop, problem


async def test_a_new_account_is_answered_found_and_seen(http: httpx.AsyncClient) -> None:
    made = await http.post("/accounts", json={"name": "华东电网", "names": {"en": "Huadong Power Grid"}})
    assert made.status_code == 201, made.text
    account_id = made.json()["id"]
    assert made.headers["Location"] == f"/accounts/{account_id}"
    assert made.headers["ETag"] == '"1"'
    seen = await http.get(
        made.headers["Location"],
        headers={"Keyfold-Position": made.headers["Keyfold-Position"], "Accept-Language": "en"},
    )
    assert seen.headers["ETag"] == '"1"'
    body = seen.json()
    assert (body["name"], body["label"], body["above"], body["children"]) == ("华东电网", "Huadong Power Grid", [], 0)


async def test_a_new_account_is_found_behind_a_prefix_too(service: RunningService) -> None:
    async with service.client() as client:
        headers = dict(client.headers)
    behind = httpx.ASGITransport(app=service.app, root_path="/account")
    async with httpx.AsyncClient(transport=behind, base_url="http://keyfold.test", headers=headers) as client:
        for made in (
            await client.post("/account/accounts", json={"name": "Acme"}),
            await client.put("/account/accounts/by-external/crm/A-1", json={"name": "Acme"}),
        ):
            assert made.headers["Location"] == f"/account/accounts/{made.json()['id']}"


async def test_a_retry_gets_the_first_answer_and_another_body_is_refused(http: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = await http.put("/accounts/by-external/crm/A%2F1", json={"name": "Acme"}, headers=key)
    again = await http.put("/accounts/by-external/crm/A%2F1", json={"name": "Acme"}, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await http.put("/accounts/by-external/crm/A%2F1", json={"name": "Other"}, headers=key)
    problem(other, 422, "idempotency_key_reused")


async def test_an_upsert_changes_what_differs(shop: Shop, http: httpx.AsyncClient) -> None:
    first = await http.put("/accounts/by-external/crm/A-1", json={"name": "Acme", "industry": "power"})
    again = await http.put("/accounts/by-external/crm/A-1", json={"name": "Acme"})
    assert (again.status_code, again.json()["events"], again.json()["id"]) == (200, [], first.json()["id"])
    changed = await http.put("/accounts/by-external/crm/A-1", json={"name": "Acme Ltd"})
    assert [event["type"] for event in changed.json()["events"]] == ["account.account_renamed"]
    shop.wrote(changed.headers["Keyfold-Position"])
    found = await shop.get("/accounts/by-external/crm/A-1")
    assert (found["name"], found["industry"], found["external_ids"]) == ("Acme Ltd", "power", {"crm": "A-1"})


async def test_any_text_can_be_an_external_id(http: httpx.AsyncClient) -> None:
    for external_id in ("ACME-", "100%", "a/b//c", "名 称", "x" * 100):
        made = await http.put(f"/accounts/by-external/crm/{quote(external_id)}", json={"name": "Acme"})
        assert made.status_code == 201, made.text
    problem(await http.put(f"/accounts/by-external/crm/{'x' * 101}", json={"name": "Acme"}), 422, "invalid_request")
    problem(await http.put("/accounts/by-external/uscc/91330100799655058B", json={"name": "A"}), 422, "reserved_system")


async def test_a_stale_version_and_a_dry_run_change_nothing(shop: Shop, http: httpx.AsyncClient) -> None:
    made = await shop.post("/accounts", name="Acme")
    path = f"/accounts/{made['id']}"
    await shop.post(f"{path}/name", name="Acme Ltd")
    stale = await http.post(f"{path}/name", json={"name": "Old"}, headers={"If-Match": '"1"'})
    problem(stale, 412, "stale_version")
    dry = await http.post(f"{path}/flags?dry_run=true", json={"flags": ["double"]})
    assert (dry.json()["dry_run"], len(dry.json()["events"]), dry.json()["position"]) == (True, 1, None)
    found = await shop.get(path)
    assert (found["version"], found["name"], found["flags"]) == (2, "Acme Ltd", [])


async def test_a_tree_is_walked_up_and_down(shop: Shop) -> None:
    group = (await shop.post("/accounts", name="Group"))["id"]
    north = (await shop.post("/accounts", name="North", parent={"id": group}))["id"]
    await shop.post("/accounts", name="South", parent={"id": group})
    site = (await shop.post("/accounts", name="Site"))["id"]
    await shop.post(f"/accounts/{site}/parent", parent={"id": north})
    page = await shop.get(f"/accounts/{site}")
    assert [above["name"] for above in page["above"]] == ["Group", "North"]
    tree = await shop.get(f"/accounts/{group}/tree", limit=2)
    assert [(one["depth"], one["name"]) for one in tree["items"]] == [(0, "Group"), (1, "North")]
    rest = await shop.get(f"/accounts/{group}/tree", limit=2, cursor=tree["next_cursor"])
    assert [(one["depth"], one["name"]) for one in rest["items"]] == [(1, "South"), (2, "Site")]
    assert (tree["total"], rest["next_cursor"]) == (4, None)
    assert (await shop.get(f"/accounts/{group}"))["children"] == 2


async def test_a_list_is_filtered_ordered_and_paged(shop: Shop, http: httpx.AsyncClient) -> None:
    items = [{"name": name, "industry": "power"} for name in ("a%b", "a_b", "axb", "中国石油")]
    batch = (await http.post("/accounts:batch", json={"items": items})).json()
    assert (batch["accepted"], batch["refused"]) == (4, 0)
    shop.wrote(batch["position"])
    assert await _names(shop, q="a%b") == ["a%b"]
    assert await _names(shop, q="A_B") == ["a_b"]
    assert await _names(shop, q="石油") == ["中国石油"]
    assert await _names(shop, q="'; DROP TABLE account; --") == []
    first = await shop.get("/accounts", industry="power", sort="-name", limit=3)
    rest = await shop.get("/accounts", industry="power", sort="-name", limit=3, cursor=first["next_cursor"])
    assert (first["total"], len(first["items"]), len(rest["items"]), rest["next_cursor"]) == (4, 3, 1, None)
    names = [one["name"] for one in [*rest["items"], *first["items"]]]
    assert len(set(names)) == 4
    other = await http.get("/accounts", params={"sort": "name", "cursor": first["next_cursor"]})
    problem(other, 400, "bad_cursor")


async def _names(shop: Shop, **query: str) -> list[str]:
    return [one["name"] for one in (await shop.get("/accounts", **query))["items"]]


async def test_a_batch_takes_parents_in_any_order(http: httpx.AsyncClient, shop: Shop) -> None:
    items = [
        {"name": "Branch", "external": _crm("B"), "parent": _crm("G")},
        {"name": "Group", "external": _crm("G")},
        {"name": "", "external": _crm("X")},
    ]
    problem(await http.post("/accounts:batch", json={"items": items}), 422, "invalid_request")
    items[2] = {"name": "Lost", "external": _crm("X"), "parent": _crm("nobody")}
    answer = (await http.post("/accounts:batch", json={"items": items})).json()
    assert [item["status"] for item in answer["items"]] == [201, 201, 422]
    assert answer["items"][2]["problem"]["code"] == "unknown_account"
    shop.wrote(answer["position"])
    found = await shop.get("/accounts/by-external/crm/B")
    assert [above["name"] for above in found["above"]] == ["Group"]


def _crm(external_id: str) -> dict[str, str]:
    return {"system": "crm", "external_id": external_id}


async def test_history_tells_every_event_in_order(shop: Shop, http: httpx.AsyncClient) -> None:
    account_id = (await shop.post("/accounts", name="Acme", occurred_at="2017-01-02T09:00:00+08:00"))["id"]
    await shop.post(f"/accounts/{account_id}/name", name="Acme Ltd")
    await shop.post(f"/accounts/{account_id}/external-ids", system="erp", external_id="100")
    first = await shop.get(f"/accounts/{account_id}/history", limit=2)
    rest = await shop.get(f"/accounts/{account_id}/history", limit=2, cursor=first["next_cursor"])
    types = [event["type"].removeprefix("account.account_") for event in [*first["items"], *rest["items"]]]
    assert types == ["registered", "renamed", "external_id_linked"]
    assert (first["total"], rest["total"], rest["next_cursor"]) == (3, 3, None)
    assert first["items"][0]["occurred_at"].startswith("2017-01-02T01:00:00")
    problem(await http.get("/accounts/0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d/history"), 404, "not_found")


async def test_bad_input_is_named(http: httpx.AsyncClient, shop: Shop) -> None:
    account_id = (await shop.post("/accounts", name="Acme"))["id"]
    path = f"/accounts/{account_id}"
    for answer, status, code, field in (
        (await http.get("/accounts/1"), 422, "invalid_request", "entity_id"),
        (await http.get("/accounts", params={"limit": 1_000_000}), 422, "invalid_request", "limit"),
        (await http.get("/accounts", params={"limit": 10**30}), 422, "invalid_request", "limit"),
        (await http.get("/accounts", params={"sort": "colour"}), 422, "invalid_request", "sort"),
        (await http.get("/accounts", params={"q": "\0"}), 422, "invalid_request", "q"),
        (await http.get("/accounts", params={"cursor": "nonsense"}), 400, "bad_cursor", "cursor"),
        (await http.get("/accounts", params={"updated_after": "2017-02-30"}), 400, "bad_moment", "updated_after"),
        (await http.get("/accounts/by-external/crm/%00"), 422, "invalid_request", "external_id"),
        (await http.get("/accounts/by-external/crm/"), 422, "invalid_request", "external_id"),
        (await http.get(path, headers={"Keyfold-Position": "x"}), 400, "bad_position", "Keyfold-Position"),
        (await http.post("/accounts", json={"nam": "x"}), 422, "invalid_request", "name"),
        (await http.post("/accounts", json={"name": "a\0b"}), 422, "invalid_request", "name"),
        (await http.post(f"{path}/parent", json={"parent": {"id": account_id}}), 409, "cycle", "parent"),
        (await http.post(f"{path}/name", json={"name": "x"}, headers={"If-Match": "3"}), 400, "bad_if_match", None),
        (await http.post(f"{path}/details", json={"attributes": {"a b": "c"}}), 422, "invalid_request", None),
    ):
        body = problem(answer, status, code)
        assert field is None or field in [fault["field"] for fault in body["errors"]], body
    for content in (
        rb'{"name": "\ud800"}',
        rb'{"name": "x", "\ud800": 1}',
        rb'{"name": "x", "attributes": {"\udc00": "y"}}',
    ):
        answer = await http.post("/accounts", content=content, headers={"Content-Type": "application/json"})
        problem(answer, 422, "invalid_request")
    broken = await http.post("/accounts", content=b'{"name": ', headers={"Content-Type": "application/json"})
    problem(broken, 400, "broken_json")
    too_large = await http.post("/accounts", json={"name": "x" * 5_000_000})
    problem(too_large, 413, "body_too_large")


async def test_who_may(service: RunningService) -> None:
    async with service.client("wang", "finance") as client:
        assert (await client.get("/accounts")).status_code == 200
        problem(await client.post("/accounts", json={"name": "Acme"}), 403, "role_missing")
    async with service.client("li", "seller") as client:
        made = await client.post("/accounts", json={"name": "Acme"})
        assert made.status_code == 201
        acme = f"/accounts/{made.json()['id']}"
        assert (await client.post(f"{acme}/name", json={"name": "Acme AG"})).status_code == 200
        link = {"system": "crm", "external_id": "1"}
        problem(await client.post(f"{acme}/parent", json={"parent": None}), 403, "role_missing")
        problem(await client.post(f"{acme}/external-ids", json=link), 403, "role_missing")
        problem(await client.put("/accounts/by-external/crm/1", json={"name": "Acme"}), 403, "role_missing")
        problem(await client.post("/accounts:batch", json=[{"name": "Acme"}]), 403, "role_missing")
        problem(await client.post("/people", json={"name": "Li"}), 403, "role_missing")
        problem(await client.post("/teams", json={"name": "T"}), 403, "role_missing")
        problem(await client.post("/products", json={"name": "P"}), 403, "role_missing")
    async with service.stranger() as client:
        problem(await client.get("/accounts"), 401, "no_token")
