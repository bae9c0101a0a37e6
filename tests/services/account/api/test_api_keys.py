"""API keys over HTTP: issued, shown once, used, rotated, revoked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.account.api.schemas import ID
from shared.eventstore.appender import Appender, Result
from shared.eventstore.entry import Entry
from shared.kit.api_key import ApiKeyText, new_secret, parse_api_key
from shared.kit.clock import FixedClock
from shared.testing.apps import RunningService
from tests.services.account.api.conftest import Shop, problem

SCOPES = ["account:read", "account:write"]


def wanted(**said: Any) -> dict[str, Any]:
    end = datetime.now(UTC) + timedelta(days=30)
    return {"name": "ERP", "roles": ["integration"], "scopes": SCOPES, "expires_at": end.isoformat()} | said


async def holder(service: RunningService, shop: Shop, key: str) -> httpx.AsyncClient:
    """Somebody with the key, as soon as all that the shop wrote is seen."""
    await shop.get("/api-keys")
    service.backend.api_keys._kept._kept.clear()  # as a second later
    return service.stranger({"Authorization": f"Bearer {key}"})


async def test_a_key_is_shown_once_and_kept_nowhere(service: RunningService, shop: Shop) -> None:
    once = {"Idempotency-Key": "first"}
    body = wanted()
    made = await shop.client.post("/api-keys", json=body, headers=once)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    key = made.json()["key"]
    shown = parse_api_key(key)
    assert shown is not None
    assert shown.key_id == made.json()["id"]
    again = await shop.client.post("/api-keys", json=body, headers=once | {"Accept-Language": "zh-CN"})
    assert (again.status_code, again.json()["id"], again.json()["key"]) == (201, shown.key_id, None)
    assert "轮换" in again.json()["note"]
    shop.wrote(made.headers["Keyfold-Position"])
    page = await shop.get(f"/api-keys/{shown.key_id}")
    history = await shop.get(f"/api-keys/{shown.key_id}/history")
    dry = await shop.client.post(f"/api-keys/{shown.key_id}/rotation?dry_run=true", json={})
    assert (dry.status_code, dry.json()["key"]) == (200, None)
    command = await service.backend.store.command("caller/operator/first")
    for told in (again.text, str(page), str(history), dry.text, str(command)):
        assert shown.secret not in told


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "lost"}])
async def test_a_key_whose_append_lost_its_connection_is_shown_all_the_same(
    service: RunningService, shop: Shop, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    async def then_lost(appender: Appender, entries: list[Entry]) -> list[Result]:
        monkeypatch.undo()
        await appender._send_once(entries)
        raise ConnectionResetError

    body = wanted()
    monkeypatch.setattr(Appender, "_send_once", then_lost)
    made = await shop.client.post("/api-keys", json=body, headers=headers)
    assert made.status_code == 201
    shop.wrote(made.headers["Keyfold-Position"])
    async with await holder(service, shop, made.json()["key"]) as erp:
        assert (await erp.get("/me")).json()["subject"] == f"api-key:{made.json()['id']}"
    if headers:  # a second request has another secret, which is none of this key's
        assert (await shop.client.post("/api-keys", json=body, headers=headers)).json()["key"] is None


async def test_a_key_acts_in_its_own_name(service: RunningService, shop: Shop) -> None:
    made = await shop.post("/api-keys", **wanted())
    async with await holder(service, shop, made["key"]) as erp:
        me = (await erp.get("/me")).json()
        assert (me["subject"], me["roles"], me["person"]) == (f"api-key:{made['id']}", ["integration"], None)
        account = (await erp.post("/accounts", json={"name": "华东"}, headers={"Idempotency-Key": "1"})).json()
        problem(await erp.get("/api-keys"), 403, "role_missing")
    (fact,) = (await shop.get(f"/accounts/{account['id']}/history"))["items"]
    assert fact["actor"] == f"api-key:{made['id']}"
    await service.backend.key_uses.flush()
    (listed,) = (await shop.get("/api-keys"))["items"]
    assert listed["last_used_at"] == listed["secrets"][0]["last_used_at"] is not None
    (used,) = (await shop.get("/api-key-uses"))["items"]
    assert (used["key_id"], used["secret"]) == (made["id"], 1)


async def test_scopes_narrow_what_roles_allow(service: RunningService, shop: Shop) -> None:
    made = await shop.post("/api-keys", **wanted(scopes=["account:read", "opportunity:write"]))
    async with await holder(service, shop, made["key"]) as reader:
        assert (await reader.get("/accounts")).status_code == 200
        for path in ("/accounts", "/accounts?dry_run=true"):
            body = problem(await reader.post(path, json={"name": "x"}), 403, "scope_missing")
            assert body["errors"][0]["expected"] == "a key with account:write"


async def test_a_key_is_no_keeper_of_keys(service: RunningService, shop: Shop) -> None:
    made = await shop.post("/api-keys", **wanted(roles=["operations"]))
    async with await holder(service, shop, made["key"]) as key:
        assert (await key.get("/api-keys")).status_code == 200
        problem(await key.post("/api-keys", json=wanted()), 403, "key_may_not")
        problem(await key.post(f"/api-keys/{made['id']}/rotation", json={}), 403, "key_may_not")
        problem(await key.post(f"/api-keys/{made['id']}/revocation", json={"reason": "x"}), 403, "key_may_not")


async def test_nobody_gets_roles_by_way_of_a_key(service: RunningService, shop: Shop) -> None:
    made = await shop.post("/api-keys", **wanted(roles=["finance"]))
    async with service.client("mei", "operations") as mei, service.client("li", "integration") as li:
        problem(await mei.post("/api-keys", json=wanted(roles=["operations", "executive"])), 403, "role_missing")
        problem(await mei.post(f"/api-keys/{made['id']}/rotation", json={}), 403, "role_missing")
        problem(await li.post("/api-keys", json=wanted()), 403, "role_missing")
        problem(await li.get("/api-keys"), 403, "role_missing")
        assert (await mei.post(f"/api-keys/{made['id']}/revocation", json={"reason": "x"})).status_code == 200


async def test_after_a_rotation_both_secrets_are_good_for_a_while(service: RunningService, shop: Shop) -> None:
    made = await shop.post("/api-keys", **wanted())
    new = await shop.post(f"/api-keys/{made['id']}/rotation", overlap_seconds=3600)
    for number, key in enumerate((made["key"], new["key"]), 1):
        async with await holder(service, shop, key) as client:
            assert (await client.get("/me")).status_code == 200, number
    await service.backend.key_uses.flush()
    page = await shop.get(f"/api-keys/{made['id']}")
    assert [(one["number"], one["good"], one["last_used_at"] is None) for one in page["secrets"]] == [
        (1, True, False),
        (2, True, False),
    ]
    await shop.post(f"/api-keys/{made['id']}/rotation", overlap_seconds=0)
    for key in (made["key"], new["key"]):
        async with await holder(service, shop, key) as client:
            problem(await client.get("/me"), 401, "key_rotated")


async def test_only_who_holds_the_secret_is_told_why_a_key_is_not_good(service: RunningService, shop: Shop) -> None:
    made = await shop.post("/api-keys", **wanted())
    await shop.post(f"/api-keys/{made['id']}/revocation", reason="lost")
    assert (await shop.get("/api-keys", state="revoked"))["items"][0]["labels"]["revoked"] == "Revoked"
    stranger, unknown = ApiKeyText(made["id"], new_secret()), ApiKeyText(ID, new_secret())
    answers = []
    for key, code in (
        (made["key"], "key_revoked"),
        (stranger.text, "bad_api_key"),
        (unknown.text, "bad_api_key"),
        ("kf_x", "bad_api_key"),
    ):
        async with await holder(service, shop, key) as client:
            answer = await client.get("/me")
            answers.append(problem(answer, 401, code))
            assert "invalid_token" in answer.headers["www-authenticate"]
    assert answers[1]["detail"] == answers[2]["detail"]


async def test_a_key_ends_by_itself(service: RunningService, shop: Shop) -> None:
    made = await shop.post("/api-keys", **wanted())
    async with await holder(service, shop, made["key"]) as client:
        assert (await client.get("/me")).status_code == 200
        object.__setattr__(service.backend, "clock", FixedClock(datetime.now(UTC) + timedelta(days=31)))
        problem(await client.get("/me"), 401, "key_expired")
    assert (await shop.get("/api-keys", state="expired"))["total"] == 1


async def test_keys_are_listed_page_by_page(shop: Shop) -> None:
    for name in ("c", "a", "b"):
        await shop.post("/api-keys", **wanted(name=name))
    first = await shop.get("/api-keys", limit=2, sort="name")
    rest = await shop.get("/api-keys", limit=2, sort="name", cursor=first["next_cursor"])
    assert ([one["name"] for one in [*first["items"], *rest["items"]]], first["total"]) == (["a", "b", "c"], 3)
    assert (await shop.get("/api-keys", state="active"))["total"] == 3
