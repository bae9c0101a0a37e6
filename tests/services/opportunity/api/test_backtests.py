"""Back-tests over HTTP: asked for, carried out by a process of their own, looked up."""

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
import httpx

from services.opportunity.backtesting import start
from services.opportunity.backtesting.run import Ask
from services.opportunity.domain.gates.defaults import DEFAULT_GATES
from shared.kit.ids import new_id
from tests.services.opportunity.api.house import House, done, got, refused
from tests.services.opportunity.api.test_gates import CNY, SKIP, gated, rule


async def ended(client: httpx.AsyncClient, answer: httpx.Response) -> dict[str, Any]:
    """The back-test when its process is over."""
    assert answer.status_code == 202, answer.text
    await asyncio.gather(*start._watched)
    return await got(client, answer.headers["Location"])


async def skipped(house: House, client: httpx.AsyncClient, marker: str, **fields: Any) -> str:
    opened = await house.opened(client, **fields)
    await done(client, f"/opportunities/{opened}/flags", {"flags": [marker]})
    await done(client, f"/opportunities/{opened}/skips", SKIP)
    return opened


async def test_a_rule_thought_of_is_tried_on_what_is_on_record(house: House) -> None:
    marker = "g" + new_id().hex[-12:]
    async with house.client() as client:
        bad = await skipped(house, client, marker)
        await skipped(house, client, marker, amount=CNY)
        await done(client, f"/opportunities/{bad}/lose", {"reason": "Price"})
        found = await ended(client, await client.post("/gates/backtests", json={"rule": rule(marker)}))
        assert (found["status"], found["error"], found["gate"]) == ("done", None, None)
        assert found["done"] == found["total"] == found["result"]["looked_at"] >= 2
        fired, result = found["result"]["fired"], found["result"]
        assert (fired["acts"], fired["opportunities"]) == (1, 1)
        assert [(one["outcome"]["code"], one["totals"]["count"]) for one in fired["outcomes"]] == [("lost", 1)]
        rows = await got(client, result["drill"], outcome="lost")
        assert [(row["opportunity_id"], row["act"]["code"], row["stage"]) for row in rows["items"]] == [
            (bad, "stage_skipped", 1)
        ]
        assert (await got(client, result["drill"], outcome="won"))["items"] == []
        other = await ended(client, await client.post("/gates/backtests", json={"rule": only(marker)}))
        [passed] = other["result"]["passed"]["outcomes"]
        assert (passed["outcome"]["code"], passed["totals"]) == (
            "open",
            {"count": 1, "sums": [{"currency": "CNY", "minor": CNY["minor"], "count": 1}]},
        )


def only(marker: str) -> dict[str, Any]:
    """Passes what carries the flag and has an amount, fires on all others."""
    flagged = {"fact": "flags", "test": "has", "value": marker}
    both = {"all_of": [flagged, {"fact": "amount", "test": "known"}]}
    return rule(marker, applies_when=None, requires=both)


async def test_a_stored_version_is_tried_and_found_again_by_its_key(house: House) -> None:
    async with house.client() as client:
        body = {"gate": "win_on_record", "version": 1}
        first = await client.post("/gates/backtests", json=body, headers={"Idempotency-Key": "bt"})
        again = await client.post("/gates/backtests", json=body, headers={"Idempotency-Key": "bt"})
        other = await client.post("/gates/backtests", json={"gate": "bid_in_sync"}, headers={"Idempotency-Key": "bt"})
        found = await ended(client, first)
        listed = await got(client, "/gates/backtests")
    assert first.json()["id"] == again.json()["id"] == found["id"]
    assert other.status_code == 422
    assert (found["status"], found["gate"], found["version"]) == ("done", "win_on_record", 1)
    assert found["id"] in [one["id"] for one in listed["items"]]


async def test_what_cannot_be_tried(house: House) -> None:
    async with house.client() as client, house.client("lin", "manager") as lin:
        both = {"gate": "win_on_record", "rule": rule("x")}
        await refused(await client.post("/gates/backtests", json={}), 422, "bad_backtest")
        await refused(await client.post("/gates/backtests", json=both), 422, "bad_backtest")
        await refused(await client.post("/gates/backtests", json={"gate": "nonsense"}), 404, "unknown_gate")
        beyond = {"gate": "win_on_record", "version": 99}
        await refused(await client.post("/gates/backtests", json=beyond), 422, "unknown_version")
        backwards = {"gate": "win_on_record", "from": "2017-02-01", "to": "2017-01-01"}
        await refused(await client.post("/gates/backtests", json=backwards), 400, "bad_period")
        await refused(await lin.post("/gates/backtests", json={"gate": "win_on_record"}), 403, "role_missing")
        await refused(await client.get(f"/gates/backtests/{new_id()}"), 404, "not_found")
        tried = await client.post("/gates/backtests", json={"gate": "win_on_record"}, params={"dry_run": True})
        await refused(await client.get(f"/gates/backtests/{tried.json()['id']}"), 404, "not_found")


async def test_one_whose_process_died_says_so(house: House) -> None:
    async with house.client() as client:
        answer = await client.post("/gates/backtests", json={"gate": "win_on_record"})
        connection = await asyncpg.connect(house.service.backend.dsn)
        try:
            await asyncio.gather(*start._watched)
            await connection.execute(
                "UPDATE backtest.trial SET ended = NULL, finished_at = NULL, result = NULL,"
                " beat_at = now() - interval '1 minute'"
                " WHERE id = $1",
                answer.json()["id"],
            )
        finally:
            await connection.close()
        assert (await got(client, answer.headers["Location"]))["status"] == "broken_off"


async def test_one_that_failed_says_why_and_not_how_one_gets_in(house: House) -> None:
    backend = house.service.backend
    astray = replace(backend, dsn="postgresql://somebody:whose-password@nowhere.invalid/postgres")
    rule_tried = DEFAULT_GATES["win_on_record"].rule
    run_id = new_id()
    await start.start(astray, run_id, {}, Ask.of(rule_tried, backend.calendar), "operator", backend.clock.now())
    await asyncio.gather(*start._watched)
    async with house.client() as client:
        found = await got(client, f"/gates/backtests/{run_id}")
    assert (found["status"], found["result"]) == ("failed", None)
    assert "its process ended with 1" in found["error"]
    assert "whose-password" not in found["error"]


async def test_a_retry_finds_the_same_one_when_the_gate_has_changed_since(house: House) -> None:
    async with house.client() as client:
        key, _ = await gated(house, client)
        first = await client.post("/gates/backtests", json={"gate": key}, headers={"Idempotency-Key": key})
        await done(client, f"/gates/{key}/versions", {"rule": rule(key, mode="stop")}, status=201)
        again = await client.post("/gates/backtests", json={"gate": key}, headers={"Idempotency-Key": key})
        assert (again.status_code, again.headers["Location"]) == (202, first.headers["Location"]), again.text
        assert (again.json()["id"], again.json()["version"]) == (first.json()["id"], 1)
        other = await client.post(
            "/gates/backtests", json={"gate": key, "version": 1}, headers={"Idempotency-Key": key}
        )
        assert other.status_code == 422
        await ended(client, first)


async def test_they_are_listed_page_by_page_without_their_rows(house: House) -> None:
    marker = "g" + new_id().hex[-12:]
    async with house.client() as client:
        for _ in range(3):
            await skipped(house, client, marker)
        tried = [await ended(client, await client.post("/gates/backtests", json={"rule": rule(marker)})) for _ in "12"]
        first = await got(client, "/gates/backtests", limit=1)
        second = await got(client, "/gates/backtests", limit=1, cursor=first["next_cursor"])
        assert [one["id"] for one in (*first["items"], *second["items"])] == [one["id"] for one in tried[::-1]]
        drill = tried[0]["result"]["drill"]
        rows = await got(client, drill)
        half = await got(client, drill, limit=2, outcome="open")
        rest = await got(client, drill, limit=2, outcome="open", cursor=half["next_cursor"])
    assert (len(rows["items"]), rows["left_out"]) == (3, 0)
    assert [*half["items"], *rest["items"]] == rows["items"]


async def test_one_that_goes_on_when_the_service_stops_is_broken_off(house: House) -> None:
    backend, run_id = house.service.backend, new_id()
    tried = Ask.of(DEFAULT_GATES["win_on_record"].rule, backend.calendar)
    connection = await asyncpg.connect(backend.dsn)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE store.event IN ACCESS EXCLUSIVE MODE")  # it waits for this
            await start.start(backend, run_id, {}, tried, "operator", backend.clock.now())
            await waiting(connection)
            await start.stop_all(backend.engine)
        assert not start._watched
    finally:
        await connection.close()
    async with house.client() as client:
        found = await got(client, f"/gates/backtests/{run_id}")
    assert (found["status"], found["error"]) == ("broken_off", start.STOPPED)


async def waiting(connection: "asyncpg.Connection[Any]") -> None:
    """Until the process of a back-test waits for a lock."""
    asks = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'keyfold-backtest' AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(60):
        while not await connection.fetchval(asks):
            await connection.execute("SELECT pg_stat_clear_snapshot()")


async def test_one_that_has_not_begun_when_the_service_stops_is_broken_off_too(house: House) -> None:
    backend, run_id = house.service.backend, new_id()
    tried = Ask.of(DEFAULT_GATES["win_on_record"].rule, backend.calendar)
    await start.start(backend, run_id, {}, tried, "operator", backend.clock.now())
    await start.stop_all(backend.engine)
    async with house.client() as client:
        assert (await got(client, f"/gates/backtests/{run_id}"))["status"] == "broken_off"
