"""Lists, pages and words: what is asked for, in the order and the language asked for."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from services.opportunity.api.steps import STEPS
from services.opportunity.labels import ACTIONS, EVENTS, LABELS, REFUSALS
from shared.contracts.opportunity import CONTRACT
from tests.services.opportunity.api.house import NOTE, House, done, got

CNY, USD = {"minor": 100, "currency": "CNY"}, {"minor": 7, "currency": "USD"}


async def pages(client: httpx.AsyncClient, path: str, **parameters: str) -> list[str]:
    """The ids of all pages, two rows each."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        asked = {**parameters, "limit": "2"}
        if cursor is not None:
            asked["cursor"] = cursor
        page = await got(client, path, **asked)
        found += [row["id"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def test_every_order_shows_every_row_once(house: House) -> None:
    account = await house.account("Ordered")
    async with house.client() as client:
        wanted: dict[str, dict[str, Any]] = {
            "乙": {"amount": CNY},
            "甲": {"amount": CNY, "close_date": "2017-09-30"},
            "b": {},
            "A": {"amount": USD, "close_date": "2017-06-30"},
            "c": {"close_date": "2017-06-30"},
        }
        made = [await house.opened(client, account_id=account, name=name, **more) for name, more in wanted.items()]
        for sort in ("updated", "-updated", "opened", "name", "-name", "amount", "-amount", "close_date", "-stage"):
            assert sorted(await pages(client, "/opportunities", account=account, sort=sort)) == sorted(made), sort
        by_name = await pages(client, "/opportunities", account=account, sort="name")
        by_amount = await pages(client, "/opportunities", account=account, sort="-amount")
        totals = (await got(client, "/opportunities", account=account, limit=1))["totals"]
    assert by_name[:3] == [made[3], made[2], made[4]]
    assert by_amount[2] == made[3]
    assert totals == {
        "count": 5,
        "sums": [{"currency": "CNY", "minor": 200, "count": 2}, {"currency": "USD", "minor": 7, "count": 1}],
    }


async def test_filters_narrow_to_any_of_their_values(house: House) -> None:
    top = await house.account("Group · 集团")
    below = await house.account("Branch", parent=top)
    ids = house.ids
    async with house.client() as client:
        one = await house.opened(client, account_id=top, owner_id=ids["ann"], name="灌装三线", amount=CNY)
        two = await house.opened(client, account_id=below, owner_id=ids["bob"], team_id=ids["shanghai"])
        three = await house.opened(client, account_id=below)
        await done(client, f"/opportunities/{two}/pause", {"reason": "x"})
        await done(client, f"/opportunities/{three}/skips", {"stage": 1, "reason": "x"})
        await done(client, f"/opportunities/{three}/flags", {"flags": ["undated"]})

        async def found(**parameters: Any) -> set[str]:
            answer = await got(client, "/opportunities", **{"account": top, **parameters})
            return {row["id"] for row in answer["items"]}

        assert await found() == {one, two, three}
        assert await found(account=below) == {two, three}
        assert await found(only_account=top) == {one}
        assert await found(owner=[ids["ann"], ids["bob"]]) == {one, two}
        assert await found(owner="none") == {three}
        assert await found(owner=["none", ids["ann"]]) == {one, three}
        assert await found(team=ids["shanghai"]) == {two}
        assert await found(outcome="paused") == {two}
        assert await found(stage=2) == {three}
        assert await found(stage="discovery") == {three}
        assert await found(stage=["prospecting", 2]) == {one, two, three}
        await done(client, f"/opportunities/{one}/buying-stage", {"stage": 3, "evidence": NOTE})
        assert await found(decision_due=True) == {one}
        assert await found(decision_due=False, synchrony="ahead") == {three}
        rows = (await got(client, "/opportunities", account=top, synchrony="at_risk"))["items"]
        assert [(row["id"], row["decision_due"]) for row in rows] == [(one, True)]
        await done(client, f"/opportunities/{one}/risk-decision", {"decision": "catch_up", "reason": "x"})
        assert await found(decision_due=True) == set()
        await done(client, f"/opportunities/{one}/buying-stage", {"stage": 1, "evidence": NOTE})
        assert await found(state="searching") == {one, two, three}
        assert await found(state="best") == set()
        assert await found(flag="undated") == {three}
        assert await found(currency="CNY") == {one}
        assert await found(currency="none") == {two, three}
        assert await found(process="default") == {one, two, three}
        assert await found(q="灌装") == {one}
        assert await found(q="集团") == {one}
        assert await found(q="三线 group") == {one}
        changed = (await got(client, f"/opportunities/{two}"))["updated_at"]
        assert await found(updated_after=changed) == {one, three}


async def test_a_past_day_is_shown_as_it_was_and_as_it_was_known(house: House) -> None:
    account = await house.account("Past")
    async with house.client() as client:
        opened = await house.opened(client, account_id=account, occurred_at="2017-03-01T10:00:00+08:00", amount=CNY)
        path = f"/opportunities/{opened}"
        recorded = (await got(client, path))["updated_at"]
        late = {"amount": {"minor": 300, "currency": "CNY"}, "occurred_at": "2017-03-31T23:59:00+08:00"}
        await done(client, f"{path}/amount", late)
        for at, minor in {"2017-03-30": 100, "2017-03-31": 300, "2017-03-31T15:58:00Z": 100}.items():
            assert (await got(client, path, as_of=at))["amount"]["minor"] == minor, at
            listed = await got(client, "/opportunities", account=account, as_of=at)
            assert listed["totals"]["sums"] == [{"currency": "CNY", "minor": minor, "count": 1}], at
        believed = await got(client, path, as_of="2017-03-31", known_at=recorded)
        assert believed["amount"]["minor"] == 100
        before = await client.get(path, params={"as_of": "2017-02-28"})
        assert (before.status_code, before.json()["code"]) == (404, "not_found")
        assert (await got(client, "/opportunities", account=account, as_of="2017-02-28"))["totals"]["count"] == 0
        today = (await got(client, "/calendars"))["today"]
        assert (await got(client, path, as_of=today))["amount"]["minor"] == 300


async def test_the_page_tells_what_is_missing_and_what_may_be_done(house: House) -> None:
    async with house.client() as client:
        client.headers["Accept-Language"] = "zh-CN,zh;q=0.9"
        opened = await house.opened(client, owner_id=house.ids["ann"])
        evidence = {"milestone": "information_gathered", "evidence": NOTE}
        await done(client, f"/opportunities/{opened}/milestones", evidence)
        page = await got(client, f"/opportunities/{opened}")
    assert page["owner"]["name"] == "ann先生"
    assert page["position"]["stage"] == {"number": 1, "code": "prospecting", "label": "客户规划与电话邀约"}
    assert [one["code"] for one in page["missing"]] == ["opportunity_assessed", "priority_set", "meeting_agreed"]
    assert page["missing"][0]["label"] == "评估销售机会"
    shown = page["evidence"][0]
    assert (shown["code"], shown["evidence"]["note"], shown["evidence"]["by"]) == (
        "information_gathered",
        NOTE["note"],
        "operator",
    )
    actions = {one["code"]: one for one in page["actions"]}
    assert actions["milestone"]["allowed"]
    assert (actions["win"]["allowed"], bool(actions["win"]["why_not"])) == (False, True)
    assert actions["win"]["label"] == "赢单"


async def test_history_shows_every_fact_with_both_times(house: House) -> None:
    async with house.client("ann", "seller") as client:
        opened = await house.opened(client, occurred_at="2017-03-01T10:00:00+08:00")
        path = f"/opportunities/{opened}"
        await done(client, f"{path}/comments", {"text": "second", "occurred_at": "2017-03-05T10:00:00+08:00"})
        await done(client, f"{path}/comments", {"text": "third", "occurred_at": "2017-03-03T10:00:00+08:00"})
        newest = await got(client, f"{path}/history", limit=2)
        rest = await got(client, f"{path}/history", limit=2, cursor=newest["next_cursor"])
        in_time = await got(client, f"{path}/history", order="occurred")
        until = await got(client, f"{path}/history", as_of="2017-03-03")
    assert [item["version"] for item in newest["items"] + rest["items"]] == [3, 2, 1]
    assert rest["next_cursor"] is None
    assert [item["version"] for item in in_time["items"]] == [1, 3, 2]
    assert [item["version"] for item in until["items"]] == [3, 1]
    first = rest["items"][0]
    assert (first["en"], first["zh"], first["actor"]) == ("Opened", "建立商机", "ann")
    assert first["occurred_at"].startswith("2017-03-01T02:00:00")
    assert first["recorded_at"] > "2020"


async def test_products_are_found_in_both_languages(house: House) -> None:
    async with house.client() as client:
        found = await got(client, "/products", q="阀门")
        chinese = await client.get("/products", params={"q": "valve"}, headers={"Accept-Language": "zh"})
    assert [(row["id"], row["name"]) for row in found["items"]] == [(house.ids["valve"], "Valve")]
    assert found["total"] == 1
    assert found["items"][0]["list_price"] == {"minor": 950_00, "currency": "CNY"}
    assert [row["name"] for row in chinese.json()["items"]] == ["阀门"]


async def test_the_calendar_tells_periods_by_business_days(house: House) -> None:
    async with house.client() as client:
        answer = await got(client, "/calendars", kind="quarter", at="2017-09-30T16:30:00Z")
        asked = await got(client, "/calendars", **{"kind": "month", "from": "2017-01-15", "to": "2017-03-01"})
    assert (answer["time_zone"], answer["current"]["label"]) == ("Asia/Shanghai", "2017-Q4")
    assert [period["label"] for period in asked["periods"]] == ["2017-01", "2017-02", "2017-03"]


async def test_labels_come_in_the_language_asked_for(house: House) -> None:
    async with house.client() as client:
        chinese = await client.get("/labels", headers={"Accept-Language": "fr, zh-CN;q=0.8, en;q=0.5"})
        english = await client.get("/labels")
    assert chinese.json()["outcome"]["won"] == {"label": "赢单", "en": "Won", "zh": "赢单"}
    assert english.json()["outcome"]["won"]["label"] == "Won"


def test_every_code_has_its_words() -> None:
    assert EVENTS.keys() == CONTRACT.events.keys()
    assert ACTIONS.keys() == {step.operation for step in STEPS} | {"file"}
    refusals = {code for root in ("services/opportunity", "shared") for code in _refusals(Path(root))}
    assert {"wrong_stage_order", "bad_period", "too_many_rows", "busy"} <= refusals
    assert refusals - REFUSALS.keys() == set()
    assert all(en.strip() and zh.strip() for words in LABELS.values() for en, zh in words.values())


REFUSING = {"refuse": 0, "Reason": 0, "bad_request": 0, "unavailable": 0, "unauthorised": 0, "ProblemError": 1}
"""Who refuses → which argument is the code."""


def _refusals(root: Path) -> Iterator[str]:
    """The codes that the sources name where they refuse something."""
    for path in root.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in REFUSING:
                place = REFUSING[call.func.id]
                said = [*call.args[place : place + 1], *(one.value for one in call.keywords if one.arg == "code")]
                either = [
                    part for one in said for part in ([one.body, one.orelse] if isinstance(one, ast.IfExp) else [one])
                ]
                yield from (one.value for one in either if isinstance(one, ast.Constant) and isinstance(one.value, str))
