"""People and teams over HTTP: who belonged where, and whose records a login therefore sees."""

from datetime import UTC, datetime

import httpx

from shared.service.visibility import Scope
from shared.testing.apps import RunningService
from tests.services.account.api.conftest import Shop, problem

YEAR_START, JUNE = "2017-01-02T09:00:00+08:00", "2017-06-01T09:00:00+08:00"


async def test_a_person_joins_changes_leaves_and_returns(shop: Shop, http: httpx.AsyncClient) -> None:
    made = await http.post("/people", json={"name": "王芳", "email": "wang.fang@example.com", "subject": "wang.fang"})
    assert (made.status_code, made.headers["Location"]) == (201, f"/people/{made.json()['id']}")
    path = made.headers["Location"]
    shop.wrote(made.headers["Keyfold-Position"])
    await shop.post(f"{path}/details", name="Wang Fang")
    found = await shop.get("/people/by-external/login/wang.fang")
    assert (found["name"], found["email"], found["active"]) == ("Wang Fang", "wang.fang@example.com", True)
    await shop.post(f"{path}/leave", reason="moved", occurred_at=JUNE)
    assert (await shop.get(path))["left_at"] == "2017-06-01T01:00:00Z"
    assert [one["name"] for one in (await shop.get("/people", active=False))["items"]] == ["Wang Fang"]
    assert (await shop.get("/people", active=True, q="wang"))["total"] == 0
    await shop.post(f"{path}/return")
    assert (await shop.get("/people", active=True, q="fang"))["total"] == 1
    taken = await http.post("/people", json={"name": "Li", "subject": "wang.fang"})
    problem(taken, 409, "external_id_taken")


async def test_a_team_is_seen_as_of_a_day_and_as_known_on_a_day(shop: Shop, http: httpx.AsyncClient) -> None:
    li = (await shop.post("/people", name="Li", occurred_at=YEAR_START))["id"]
    wang = (await shop.post("/people", name="Wang", occurred_at=YEAR_START))["id"]
    team = await shop.post("/teams", name="华东区", occurred_at=YEAR_START, manager={"id": li}, members=[{"id": li}])
    path = f"/teams/{team['id']}"
    await shop.post(f"{path}/members", person={"id": wang}, occurred_at=JUNE)
    await shop.post(f"{path}/manager", person={"id": wang}, occurred_at=JUNE)
    now = await shop.get(path)
    assert (now["manager"]["name"], now["member_count"]) == ("Wang", 2)
    assert [one["name"] for one in now["members"]] == ["Li", "Wang"]
    may = await shop.get(path, as_of="2017-05-31")
    assert (may["manager"]["name"], [one["name"] for one in may["members"]]) == ("Li", ["Li"])
    assert may["manager"]["until"] == "2017-06-01T01:00:00Z"
    assert (await shop.get(path, known_at="2017-07-01"))["member_count"] == 0
    first = await shop.get(f"{path}/members", limit=1)
    rest = await shop.get(f"{path}/members", limit=1, cursor=first["next_cursor"])
    assert [one["name"] for one in [*first["items"], *rest["items"]]] == ["Li", "Wang"]
    assert (await shop.get("/people", team=team["id"]))["total"] == 2
    await shop.post(f"{path}/members/leave", person={"id": li})
    await shop.post(f"{path}/manager/relieve")
    after = await shop.get(path)
    assert (after["manager"], after["member_count"]) == (None, 1)
    problem(await http.post(f"{path}/members/leave", json={"person": {"id": li}}), 409, "not_a_member")
    problem(await http.get(path, params={"as_of": "yesterday"}), 400, "bad_moment")


async def test_teams_are_upserted_found_and_walked(shop: Shop, http: httpx.AsyncClient) -> None:
    top = await http.put("/teams/by-external/crm/T-1", json={"name": "Sales"})
    shop.wrote(top.headers["Keyfold-Position"])
    under = {"system": "crm", "external_id": "T-1"}
    below = await http.put("/teams/by-external/crm/T-2", json={"name": "East", "parent": under})
    shop.wrote(below.headers["Keyfold-Position"])
    again = await http.put("/teams/by-external/crm/T-2", json={"name": "East", "parent": under})
    assert (below.status_code, again.status_code, again.json()["events"]) == (201, 200, [])
    found = await shop.get("/teams/by-external/crm/T-2")
    assert [above["name"] for above in found["above"]] == ["Sales"]
    tree = await shop.get(f"/teams/{top.json()['id']}/tree")
    assert [(one["depth"], one["name"]) for one in tree["items"]] == [(0, "Sales"), (1, "East")]
    assert [one["name"] for one in (await shop.get("/teams", top=True))["items"]] == ["Sales"]
    assert [one["name"] for one in (await shop.get("/teams", parent=top.json()["id"]))["items"]] == ["East"]
    await shop.post(f"/teams/{found['id']}/name", name="East China")
    await shop.post(f"/teams/{found['id']}/parent", parent=None)
    assert (await shop.get(f"/teams/{found['id']}/history"))["total"] == 4
    assert (await shop.get("/teams", q="china", top=True))["total"] == 1


async def test_me_and_what_a_manager_sees(service: RunningService, shop: Shop) -> None:
    boss = (await shop.post("/people", name="Boss", subject="boss", occurred_at=YEAR_START))["id"]
    li = (await shop.post("/people", name="Li", subject="li", occurred_at=YEAR_START))["id"]
    gone = (await shop.post("/people", name="Gone", subject="gone", occurred_at=YEAR_START))["id"]
    top = await shop.post("/teams", name="Sales", manager={"id": boss}, occurred_at=YEAR_START)
    members = [{"id": li}, {"id": gone}]
    east = await shop.post("/teams", name="East", parent={"id": top["id"]}, members=members, occurred_at=YEAR_START)
    await shop.post(f"/people/{gone}/leave", occurred_at=JUNE)
    async with service.client("li", "seller") as client:
        answer = await client.get("/me", headers={"Keyfold-Position": shop.position})
    told = answer.json()
    assert (told["subject"], told["roles"], told["person"]["id"]) == ("li", ["seller"], li)
    assert [(one["name"], one["role"]) for one in told["teams"]] == [("East", "member")]
    async with service.client("stranger", "seller") as client:
        assert (await client.get("/me")).json()["person"] is None
    scopes, now = service.backend.scopes, datetime.now(UTC)
    seen = {subject: await scopes.of(subject, now) for subject in ("boss", "li", "gone", "nobody")}
    assert seen["boss"] == Scope(False, frozenset((boss, li, gone)), frozenset((top["id"], east["id"])), boss)
    assert seen["li"] == Scope(False, frozenset((li,)), frozenset((east["id"],)), li)
    assert (seen["gone"].people, seen["gone"].teams) == (frozenset(), frozenset())
    assert seen["nobody"].person_id is None
