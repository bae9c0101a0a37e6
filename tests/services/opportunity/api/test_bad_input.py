"""Whatever is wrong is named in a 4xx problem, and nothing changes."""

import base64
import json
from typing import Any

import orjson
import pytest

from services.opportunity.api.steps import STEPS
from shared.kit.ids import new_id
from shared.testing.apps import token
from tests.services.opportunity.api.house import DAY, NOTE, House, done, got, refused

CNY = {"minor": 1, "currency": "CNY"}
LATER = "2999-01-01T00:00:00Z"
FIRST, LAST = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"  # no dates at all in UTC


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": "x" * 301}, "name"),
        ({"name": 1}, "name"),
        ({"name": "x", "amount": {"minor": 1.5, "currency": "CNY"}}, "amount.minor"),
        ({"name": "x", "amount": {"minor": "1", "currency": "CNY"}}, "amount.minor"),
        ({"name": "x", "amount": {"minor": 10**30, "currency": "CNY"}}, "amount.minor"),
        ({"name": "x", "amount": {"minor": -1, "currency": "CNY"}}, "amount"),
        ({"name": "x", "amount": {"minor": 1, "currency": "XXQ"}}, "amount.currency"),
        ({"name": "x", "amount": {"minor": 1, "currency": "cny"}}, "amount.currency"),
        ({"name": "x", "close_date": "2017-02-30"}, "close_date"),
        ({"name": "x", "close_date": "0001-01-01"}, "close_date"),
        ({"name": "x", "occurred_at": "2017-01-01T00:00:00"}, "occurred_at"),
        ({"name": "x", "occurred_at": LATER}, "occurred_at"),
        ({"name": "x", "occurred_at": "1200-01-01T00:00:00Z"}, "occurred_at"),
        ({"name": "x", "occurred_at": FIRST}, "occurred_at"),
        ({"name": "x", "occurred_at": LAST}, "occurred_at"),
        ({"name": "x", "process": "no_such_process"}, "process"),
        ({"name": "x", "owner_id": "'; DROP TABLE span; --"}, "owner_id"),
        ({"name": "x", "surprise": 1}, "surprise"),
        ({"name": "x", "external_ids": {"crm": "a\0b"}}, None),
        ({"name": "x", "external_ids": {"c r m": "1"}}, "system"),
    ],
)
async def test_what_cannot_be_opened(house: House, body: Any, field: str | None) -> None:
    before = await house.service.backend.store.head()
    async with house.client() as client:
        content = json.dumps(body)
        response = await client.post("/opportunities", content=content, headers={"Content-Type": "application/json"})
    problem = response.json()
    assert response.status_code == 422, problem
    assert field is None or field in [fault["field"] for fault in problem["errors"]], problem
    assert await house.service.backend.store.head() == before


@pytest.mark.parametrize(
    ("step", "body", "status", "code"),
    [
        ("milestones", {"milestone": "priority_set"}, 422, "invalid_request"),
        ("milestones", {"milestone": "priority_set", "evidence": {"note": ""}}, 422, "invalid_request"),
        ("milestones", {"milestone": "contract_signed", "evidence": NOTE}, 422, "unknown_milestone"),
        ("milestones", {"milestone": "priority_set", "evidence": {**NOTE, "at": LATER}}, 422, "impossible_date"),
        ("milestones", {"milestone": "priority_set", "evidence": {**NOTE, "at": FIRST}}, 422, "impossible_date"),
        ("commitments", {"criterion": "meeting_agreed", "evidence": {**NOTE, "at": LAST}}, 422, "impossible_date"),
        ("win", {"evidence": {**NOTE, "at": LATER}}, 422, "impossible_date"),
        ("milestones", {"milestone": "priority_set", "stage": 3, "evidence": NOTE}, 409, "wrong_stage_order"),
        ("commitments", {"criterion": "meeting_agreed", "stage": 41, "evidence": NOTE}, 422, "invalid_request"),
        ("skips", {"stage": 5, "reason": "x"}, 409, "wrong_stage_order"),
        ("skips", {"stage": 1}, 422, "invalid_request"),
        ("buying-stage", {"stage": 20, "evidence": NOTE}, 422, "unknown_stage"),
        ("regressions", {"to_completed": 3, "reason": "x"}, 409, "not_backwards"),
        ("milestones/priority_set/retraction", {"reason": "x"}, 409, "not_evidenced"),
        ("resume", {}, 409, "not_paused"),
        ("reopen", {"reason": "x"}, 409, "not_closed"),
        ("win", {"evidence": NOTE}, 409, "stages_missing"),
        ("changes", {"changes": []}, 422, "invalid_request"),
        ("changes", {"changes": [{"action": "fly"}]}, 422, "invalid_request"),
        ("amount", {"amount": CNY, "occurred_at": "2016-01-01T00:00:00Z"}, 422, "before_opening"),
        ("amount", {"amount": CNY, "occurred_at": LATER}, 422, "occurred_at_ahead"),
    ],
)
async def test_what_cannot_be_done(house: House, step: str, body: Any, status: int, code: str) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        before = await house.service.backend.store.head()
        await refused(await client.post(f"/opportunities/{opened}/{step}", json=body), status, code)
    assert await house.service.backend.store.head() == before


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/opportunities/0190a20e-c4d9-7e17-b0e6-c2a753c4d51d", 404, "not_found"),
        ("/opportunities/0190a20e-c4d9-7e17-b0e6-c2a753c4d51d/history", 404, "not_found"),
        ("/opportunities/17", 422, "invalid_request"),
        ("/processes/no_such_process", 404, "not_found"),
        ("/board?process=no_such_process", 422, "unknown_process"),
        ("/opportunities?process=no_such_process", 422, "unknown_process"),
        ("/funnel?process=no_such_process", 422, "unknown_process"),
        ("/funnel/conversion?process=no_such_process", 422, "unknown_process"),
        ("/funnel/velocity?process=default&process=no_such_process", 422, "unknown_process"),
        ("/opportunities?stage=no_such_stage", 422, "unknown_stage"),
        ("/funnel?process=default&stage=no_such_stage", 422, "unknown_stage"),
        ("/opportunities?stage=0", 422, "invalid_request"),
        ("/opportunities?synchrony=late", 422, "invalid_request"),
        ("/opportunities?limit=1000000", 422, "invalid_request"),
        ("/opportunities?limit=-1", 422, "invalid_request"),
        ("/opportunities?sort=secret", 422, "invalid_request"),
        ("/opportunities?ower=x", 422, "invalid_request"),
        ("/opportunities?owner=x", 422, "invalid_request"),
        ("/opportunities?q=%00", 422, "invalid_request"),
        ("/opportunities?stage=99999999999999999999999999", 422, "invalid_request"),
        ("/opportunities?cursor=bm90IG91cnM", 400, "bad_cursor"),
        ("/opportunities?as_of=2017-02-30", 400, "bad_moment"),
        ("/opportunities?as_of=yesterday", 400, "bad_moment"),
        ("/opportunities?as_of=2017-01-01T00:00:00", 400, "bad_moment"),
        ("/opportunities?as_of=2999-01-01", 400, "future_moment"),
        ("/opportunities?known_at=2999-01-01T00:00:00Z", 400, "future_moment"),
        ("/opportunities?cohort_by=stage", 400, "bad_cohort"),
        ("/funnel?group_by=colour", 422, "invalid_request"),
        ("/funnel/conversion?period=2017-Q5", 400, "bad_period"),
        ("/funnel/conversion?from=2018-01-01&to=2017-01-01", 400, "bad_period"),
        ("/funnel/conversion?period=2017&from=2017-01-01", 400, "bad_period"),
        ("/funnel/required?target_minor=1&target_currency=XXQ", 422, "invalid_request"),
        ("/calendars?kind=day&from=1900-01-01&to=2100-01-01", 400, "too_many_periods"),
        ("/no/such/path", 404, "not_found"),
    ],
)
async def test_what_cannot_be_read(house: House, path: str, status: int, code: str) -> None:
    async with house.client() as client:
        await refused(await client.get(path), status, code)


@pytest.mark.parametrize("moment", [FIRST, LAST])
async def test_no_step_takes_a_moment_that_is_none(house: House, moment: str) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        for step in STEPS:
            path = step.path if step.code is None else step.path.format(**{step.code: "any"})
            body = {**step.example, "occurred_at": moment}
            response = await client.post(f"/opportunities/{opened}/{path}", json=body)
            problem = await refused(response, 422, "invalid_request")
            assert [fault["field"] for fault in problem["errors"]] == ["occurred_at"], path
        changes = {"changes": [{"action": "comment", "text": "x", "occurred_at": moment}]}
        await refused(await client.post(f"/opportunities/{opened}/changes", json=changes), 422, "invalid_request")


@pytest.mark.parametrize("moment", [FIRST, LAST])
@pytest.mark.parametrize("field", ["updated_after", "closed_from", "closed_before", "cohort_from", "cohort_before"])
async def test_no_question_takes_a_moment_that_is_none(house: House, field: str, moment: str) -> None:
    cohort = {"cohort_by": "state", "cohort_place": "best", "cohort_from": DAY, "cohort_before": DAY}
    asked = {**cohort, field: moment} if field.startswith("cohort") else {field: moment}
    async with house.client() as client:
        problem = await refused(await client.get("/opportunities", params=asked), 422, "invalid_request")
    assert [fault["field"] for fault in problem["errors"]] == [field]


@pytest.mark.parametrize("moment", [FIRST, LAST])
async def test_no_cursor_takes_a_moment_that_is_none(house: House, moment: str) -> None:
    async with house.client() as client:
        opened = await house.opened(client)
        await house.opened(client)
        await done(client, f"/opportunities/{opened}/comments", {"text": "x"})
        for path in ("/opportunities?sort=updated", f"/opportunities/{opened}/history?order=occurred"):
            cursor = (await got(client, f"{path}&limit=1"))["next_cursor"]
            question, [_, last] = orjson.loads(base64.urlsafe_b64decode(cursor + "=="))
            forged = base64.urlsafe_b64encode(orjson.dumps([question, [moment, last]])).decode().rstrip("=")
            await refused(await client.get(f"{path}&limit=1&cursor={forged}"), 400, "bad_cursor")


@pytest.mark.parametrize("name", ["owner", "team", "account", "only_account", "currency", "stage"])
async def test_a_malformed_value_is_named_by_its_parameter_and_place(house: House, name: str) -> None:
    async with house.client() as client:
        problem = await refused(await client.get("/opportunities", params={name: ["ZZ"]}), 422, "invalid_request")
    assert [fault["field"] for fault in problem["errors"]] == [f"{name}.0"]


async def test_an_unknown_stage_is_told_with_those_that_there_are(house: House) -> None:
    async with house.client() as client:
        problem = await refused(await client.get("/board?stage=no_such_stage"), 422, "unknown_stage")
    assert problem["errors"][0]["field"] == "stage"
    assert "prospecting, discovery, initial_proposal" in problem["errors"][0]["expected"]


@pytest.mark.parametrize("words", ["'; DROP TABLE span; --", "% _ \\", '" OR 1=1', "$1", "🙂" * 100, "\\u0000"])
async def test_a_search_finds_what_is_written_and_runs_nothing(house: House, words: str) -> None:
    async with house.client() as client:
        opened = await house.opened(client, name=f"Line {words}")
        found = await got(client, "/opportunities", q=words, limit=200)
        assert opened in [row["id"] for row in found["items"]]
        other = await got(client, "/opportunities", q=f"{words} {new_id()}")
    assert other["totals"]["count"] == 0


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 50_000, b"null", b"", b'{"name": NaN}'])
async def test_broken_bodies(house: House, content: bytes) -> None:
    async with house.client() as client:
        for path in ("/opportunities", "/opportunities:batch"):
            response = await client.post(path, content=content, headers={"Content-Type": "application/json"})
            assert response.status_code in (400, 422), (path, response.text)
            assert response.json()["detail"]


async def test_a_body_of_5_megabytes_is_too_large(house: House) -> None:
    async with house.client() as client:
        response = await client.post("/opportunities", json={"name": "x" * 5_000_000})
    await refused(response, 413, "body_too_large")


async def test_who_has_no_valid_token_is_told_so(house: House) -> None:
    path = "/opportunities"
    expired = token("ann", "seller", days=-1)
    async with house.service.stranger() as client:
        await refused(await client.get(path), 401, "no_token")
        await refused(await client.get(path, headers={"Authorization": f"Bearer {expired}"}), 401, "token_expired")
        await refused(await client.get(path, headers={"Authorization": "Bearer nonsense"}), 401, "bad_token")
        await refused(await client.post(path, json={"name": "x"}), 401, "no_token")


async def test_a_cursor_belongs_to_its_question(house: House) -> None:
    async with house.client() as client:
        for number in range(3):
            await house.opened(client, name=f"Cursor {number}")
        first = await got(client, "/opportunities", q="cursor", limit=1, sort="name")
        other = await client.get("/opportunities", params={"cursor": first["next_cursor"], "limit": 1, "sort": "-name"})
    await refused(other, 400, "bad_cursor")


async def test_evidence_with_a_zero_character_changes_nothing(house: House) -> None:
    evidence = {**NOTE, "by": "a\0b"}
    async with house.client() as client:
        opened = await house.opened(client)
        body = {"milestone": "priority_set", "evidence": evidence}
        response = await client.post(f"/opportunities/{opened}/milestones", json=body)
        assert response.status_code == 422, response.text
        await done(client, f"/opportunities/{opened}/comments", {"text": "It goes on"})
        assert (await got(client, f"/opportunities/{opened}"))["version"] == 2
