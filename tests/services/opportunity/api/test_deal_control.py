"""Deal control over HTTP: assessing, priorities and effort, what is abnormal, and what all of it is judged by."""

from typing import Any

import httpx
import pytest_asyncio

from services.opportunity.domain.anomalies.limits import DEFAULT_LIMITS
from services.opportunity.domain.assessment.model import DEFAULT_MODEL
from tests.services.opportunity.api.house import NOTE, House, done, got, refused

GOOD = {factor.code: 4 for factor in DEFAULT_MODEL.factors}
POOR = {factor.code: 1 for factor in DEFAULT_MODEL.factors}
MODEL = DEFAULT_MODEL.model_dump(mode="json", exclude={"occurred_at"})
LIMITS = DEFAULT_LIMITS.model_dump(mode="json", exclude={"occurred_at"})
BIG = {"minor": 2_000_000_00, "currency": "CNY"}


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def judged_by_the_defaults(house: House) -> None:
    """Whatever other tests have defined: these are about the model and the limits that an installation begins with."""
    async with house.client() as client:
        for path, body in (("/assessment-model", MODEL), ("/anomaly-limits", LIMITS)):
            await done(client, path, body)
            await got(client, path)


async def test_an_assessment_is_refused_accepted_and_shown(house: House) -> None:
    async with house.client("ann", "seller") as ann:
        deal = await house.opened(ann)
        path = f"/opportunities/{deal}/assessment"
        await refused(await ann.post(path, json={"scores": POOR}), 409, "decision_missing")
        await refused(await ann.post(path, json={"scores": {"funding": 9}}), 422, "score_missing")
        body = {"scores": POOR, "decision": "lower_effort", "reason": "A rival wrote the specification"}
        answer = await done(ann, path, body)
        assert [one["type"] for one in answer["events"]] == ["opportunity.assessed"]
        control = (await got(ann, f"/opportunities/{deal}"))["control"]
        assessment = control["assessment"]
        assert (assessment["total"], assessment["threshold"], assessment["below"]) == (100, 250, True)
        assert assessment["decision"] == {"code": "lower_effort", "label": "Lower the effort"}
        assert [one["score"] for one in assessment["scores"]] == [1] * 9
        assert (await done(ann, path, {"scores": GOOD}))["events"]
        assert (await done(ann, path, {"scores": GOOD}))["events"] == []
        [row] = (await got(ann, "/opportunities", q="bottling", limit=1))["items"]
        assert row["assessment"] == 400


async def test_nobody_assesses_the_deal_of_another(house: House) -> None:
    async with house.client("ann", "seller") as ann, house.client("olga", "seller") as olga:
        deal = await house.opened(ann)
        for path, body in (("assessment", {"scores": GOOD}), ("effort", {"visits": 1})):
            await refused(await olga.post(f"/opportunities/{deal}/{path}", json=body), 403, "not_yours")
            dry = await ann.post(f"/opportunities/{deal}/{path}?dry_run=true", json=body)
            assert dry.json()["dry_run"]


async def control_account(house: House, client: httpx.AsyncClient) -> tuple[str, list[str]]:
    """An account with three deals: an A near its close date and ahead of the customer, a stalled one, one that was lost."""
    account = await house.account("Controlled")
    client.headers["Keyfold-Position"] = house.position
    fields = {"account_id": account, "occurred_at": "2017-03-01T10:00:00+08:00", "owner_id": house.ids["ann"]}
    made = [
        await house.opened(client, name="Near", close_date="2017-04-20", amount=BIG, **fields),
        await house.opened(client, name="Stalled", **fields),
        await house.opened(client, name="Lost", **fields),
    ]
    at = {"occurred_at": "2017-03-02T10:00:00+08:00"}
    await done(client, f"/opportunities/{made[0]}/progress", {"completed_stage": 5, "note": "CRM", **at})
    observed = {"stage": 2, "evidence": NOTE, "occurred_at": "2017-03-02T11:00:00+08:00"}
    await done(client, f"/opportunities/{made[0]}/buying-stage", observed)
    for deal, visits, minutes in zip(made, (1, 4, 2), (60, 30, 0), strict=True):
        spent = {"visits": visits, "minutes": minutes, "occurred_at": "2017-03-03T10:00:00+08:00"}
        await done(client, f"/opportunities/{deal}/effort", spent)
    await done(
        client, f"/opportunities/{made[2]}/lose", {"reason": "Price", "occurred_at": "2017-03-04T10:00:00+08:00"}
    )
    late = {"visits": 1, "occurred_at": "2017-03-05T10:00:00+08:00"}
    await done(client, f"/opportunities/{made[2]}/effort", late)
    return account, made


async def test_effort_is_shown_against_what_each_priority_deserves(house: House) -> None:
    async with house.client() as client:
        account, _ = await control_account(house, client)
        question: dict[str, Any] = {"account": account, "as_of": "2017-03-31", "period": "2017-Q1"}
        told = await got(client, "/priorities", **question)
        figures = {one["priority"]["code"]: one for one in told["items"]}
        assert [(code, one["totals"]["count"], one["effort"]["visits"]) for code, one in figures.items()] == [
            ("A", 1, 1), ("B", 0, 0), ("C", 0, 0), ("D", 1, 6),
        ]  # fmt: skip
        assert (told["most_visits_on_a"], told["most_minutes_on_a"]) == (False, True)
        assert (figures["A"]["visits_share"], figures["A"]["minutes_share"], figures["A"]["deserves"]) == (
            14.3,
            66.7,
            60,
        )
        assert told["after_the_end"] == {"visits": 1, "minutes": 0}
        for one in figures.values():
            assert (await got(client, one["drill"]))["totals"] == one["totals"]
        before = await got(client, "/priorities", **question | {"period": "2016-Q4"})
        assert (before["most_visits_on_a"], before["items"][0]["visits_share"]) == (None, None)


async def test_lists_are_filtered_and_ordered_by_priority(house: House) -> None:
    async with house.client() as client:
        account, made = await control_account(house, client)
        asked = {"account": account, "as_of": "2017-03-31"}
        rows = (await got(client, "/opportunities", sort="priority", **asked))["items"]
        assert [row["priority"] and row["priority"]["code"] for row in rows] == ["A", "D", None]
        assert rows[0]["priority"]["label"] == "A: all-out"
        first = await got(client, "/opportunities", sort="-priority", limit=1, **asked)
        assert first["items"][0]["name"] == "Stalled"
        second = await got(client, "/opportunities", sort="-priority", limit=1, cursor=first["next_cursor"], **asked)
        assert second["items"][0]["name"] == "Near"
        none = await got(client, "/opportunities", priority="none", **asked)
        assert [row["id"] for row in none["items"]] == [made[2]]


async def test_what_is_abnormal_is_told_with_its_cause_and_opens_what_it_is_about(house: House) -> None:
    async with house.client() as client:
        account, made = await control_account(house, client)
        asked = {"account": account, "as_of": "2017-05-31", "limits_version": 1}
        told = await got(client, "/pipeline/anomalies", **asked)
        rows = [(row["code"]["code"], row["opportunity"]["name"], row["since"], row["value"]) for row in told["items"]]
        assert rows == [
            ("out_of_sync", "Near", "2017-03-02T03:00:00Z", -4),
            ("stalled", "Stalled", "2017-03-31T16:00:00Z", 91),
            ("stalled", "Near", "2017-04-16T16:00:00Z", 90),
        ]
        first = told["items"][1]
        assert first["cause"] == first["en"] == "91 days in the stage Prospecting; the limit is 30 days"
        assert first["zh"] == "在“客户规划与电话邀约”阶段已停留91天，上限为30天"
        assert (first["owner"]["name"], first["stage"]["number"], first["amount"]) == ("ann", 1, None)
        assert [(one["code"]["code"], one["count"]) for one in told["counts"]] == [("stalled", 2), ("out_of_sync", 1)]
        for one in told["counts"]:
            assert len((await got(client, one["drill"]))["items"]) == one["count"]
        page = await got(client, first["drill"])
        assert page["id"] == made[1]
        [same] = page["control"]["anomalies"]
        assert {name: same[name] for name in ("code", "since", "value")} == {
            name: first[name] for name in ("code", "since", "value")
        }
        assert (await got(client, "/pipeline/anomalies", **asked | {"as_of": "2017-03-01"}))["items"] == []


async def test_anomalies_come_page_by_page_and_by_code(house: House) -> None:
    async with house.client() as client:
        account, _ = await control_account(house, client)
        asked = {"account": account, "as_of": "2017-05-31", "limits_version": 1, "sort": "-since", "limit": 2}
        first = await got(client, "/pipeline/anomalies", **asked)
        second = await got(client, "/pipeline/anomalies", cursor=first["next_cursor"], **asked)
        codes = [row["code"]["code"] for row in (*first["items"], *second["items"])]
        assert codes == ["stalled", "stalled", "out_of_sync"]
        assert second["next_cursor"] is None
        chosen = await got(client, "/pipeline/anomalies", code="out_of_sync", **asked)
        assert [row["code"]["code"] for row in chosen["items"]] == ["out_of_sync"]
        wrong = await client.get("/pipeline/anomalies", params={"cursor": first["next_cursor"]})
        await refused(wrong, 400, "bad_cursor")
        await refused(await client.get("/pipeline/anomalies", params={"limits_version": 999}), 404, "not_found")


async def test_people_are_told_of_with_a_link_to_their_opportunities(house: House) -> None:
    async with house.client() as client:
        person = await house.person("zhou")
        client.headers["Keyfold-Position"] = house.position
        for number in range(8):
            await house.opened(client, name=f"Pile {number}", owner_id=person, occurred_at="2017-01-05T10:00:00+08:00")
        asked = {"owner": person, "as_of": "2017-03-31", "limits_version": 1}
        told = await got(client, "/pipeline/anomalies", code=["piled_up", "nothing_new"], **asked)
        [piled, quiet] = told["items"]
        assert (piled["code"]["code"], piled["value"], piled["since"]) == ("piled_up", 8, "2017-01-05T02:00:00Z")
        assert (quiet["code"]["code"], quiet["value"], quiet["since"]) == ("nothing_new", 85, "2017-02-19T16:00:00Z")
        assert piled["opportunity"] is None
        assert piled["owner"]["id"] == person
        for row in (piled, quiet):
            assert (await got(client, row["drill"]))["totals"]["count"] == 8
    async with house.client("olga", "seller") as olga:
        assert (await got(olga, "/pipeline/anomalies", **asked))["items"] == []


async def test_what_deals_are_judged_by_is_data_in_versions(house: House) -> None:
    async with house.client() as client:
        for path, body, change in (
            ("/assessment-model", MODEL, {"threshold": 300}),
            ("/anomaly-limits", LIMITS, {"pushed_out": 4}),
        ):
            before = await got(client, path)
            changed = await done(client, path, {**body, **change}, status=201)
            now = await got(client, path)
            assert now["version"] == before["version"] + 1
            assert {name: now[name] for name in change} == change
            assert (await done(client, path, {**body, **change}))["events"] == []
            assert (await done(client, path, body, status=201))["version"] == changed["version"] + 1
            versions = (await got(client, f"{path}/versions"))["items"]
            assert [one["version"] for one in versions] == list(range(1, before["version"] + 3))


async def test_only_those_who_may_define_do_and_nonsense_is_named(house: House) -> None:
    async with house.client() as client, house.client("ann", "seller") as ann:
        for path, body in (("/assessment-model", MODEL), ("/anomaly-limits", LIMITS)):
            assert (await ann.post(path, json=body)).status_code == 403
            assert (await ann.get(path)).status_code == 200
        stages = [{"process": "default", "stage": "nowhere", "days": 3}]
        await refused(await client.post("/anomaly-limits", json=LIMITS | {"stages": stages}), 422, "unknown_stage")
        await refused(await client.post("/assessment-model", json=MODEL | {"threshold": 900}), 422, "bad_threshold")


async def test_the_labels_of_deal_control_are_there_in_both_languages(house: House) -> None:
    async with house.client() as client:
        labels = await got(client, "/labels")
        assert labels["priority"]["A"]["zh"] == "A：全力投入"
        assert set(labels["anomaly"]) == {
            "stalled", "slipping", "out_of_sync", "early_near_close", "piled_up", "nothing_new",
        }  # fmt: skip
