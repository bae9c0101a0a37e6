"""Commands over HTTP: answers, versions, idempotency, dry runs, batches, position tokens."""

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest
import structlog

from shared.contracts.event import Recorded
from shared.eventstore.commands import Commands
from shared.eventstore.store import EventStore
from shared.projections.tokens import parse_token
from shared.relay.recover import LOST_TYPE
from shared.service.http import serve_http
from shared.testing.apps import SECRET, RunningService, token, working
from shared.web.commanding import furthest
from tests.shared.web.desk import DESK, desk


def opening(name: str = "e1", **more: Any) -> dict[str, Any]:
    return {"id": name, "title": "Pumps", **more}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


async def test_an_answer_tells_version_position_and_events(database: str) -> None:
    async with desk(database) as service, service.client() as client:
        made = await client.post("/enquiries", json=opening())
        assert made.status_code == 201, made.text
        body = made.json()
        assert (body["id"], body["created"], body["version"], body["dry_run"]) == ("e1", True, 1, False)
        assert made.headers["ETag"] == '"1"'
        assert made.headers["Location"] == "/enquiries/e1"
        assert made.headers["Keyfold-Position"] == body["position"]
        assert [(event["type"], event["data"]["title"]) for event in body["events"]] == [
            ("desk.enquiry_opened", "Pumps")
        ]
        nothing = await client.post("/enquiries/e1/title", json={"title": "Pumps"})
        assert (nothing.status_code, nothing.json()["events"], nothing.json()["position"]) == (200, [], None)
        assert nothing.headers["ETag"] == '"1"'
        assert "Keyfold-Position" not in nothing.headers


async def test_the_actor_and_the_trace_go_into_the_event(database: str) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with desk(database, worker=False) as service, service.client("mei", "seller") as client:
        await client.post("/enquiries", json=opening(), headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
        [event] = await service.backend.store.load("enquiry-e1")
        assert (event.actor, event.correlation_id.hex) == ("mei", trace)
        assert event.traceparent is not None
        assert event.traceparent.split("-")[1] == trace


async def test_business_time_comes_from_the_body(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        await client.post("/enquiries", json=opening())
        day = "2017-03-31T09:00:00+08:00"
        told = await client.post("/enquiries/e1/title", json={"title": "a", "occurred_at": day})
        assert told.json()["events"][0]["occurred_at"] == "2017-03-31T01:00:00+00:00"
        ahead = await client.post("/enquiries/e1/title", json={"title": "b", "occurred_at": "2999-01-01T00:00:00Z"})
        assert code(ahead) == (422, "occurred_at_ahead")
        vague = await client.post("/enquiries/e1/title", json={"title": "b", "occurred_at": "2017-03-31T09:00:00"})
        assert code(vague) == (422, "occurred_at_without_zone")


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        ('"1"', 200, ""),
        (' "1" ', 200, ""),
        ("*", 200, ""),
        ('"2"', 412, "stale_version"),
        ("1", 400, "bad_if_match"),
        ('W/"1"', 400, "bad_if_match"),
        ('"1", "2"', 400, "bad_if_match"),
        ('"-1"', 400, "bad_if_match"),
        ('"99999999999999999999"', 400, "bad_if_match"),
        ("", 400, "bad_if_match"),
    ],
)
async def test_if_match(database: str, sent: str, status: int, error: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        await client.post("/enquiries", json=opening())
        answer = await client.post("/enquiries/e1/title", json={"title": "Valves"}, headers={"If-Match": sent})
        assert code(answer) == (status, error)
        assert await service.backend.store.version("enquiry-e1") == (2 if status == 200 else 1)
        if status == 412:
            assert answer.headers["ETag"] == '"1"'


# --- idempotency


async def test_a_retry_after_a_restart_gets_the_first_answer(database: str) -> None:
    key = {"Idempotency-Key": "4f1c"}
    async with desk(database, worker=False) as service, service.client() as client:
        first = await client.post("/enquiries", json=opening(), headers=key)
        await client.post("/enquiries/e1/title", json={"title": "Valves"})
    async with desk(database, worker=False) as service, service.client() as client:
        again = await client.post("/enquiries", json=opening(), headers=key)
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        for name in ("ETag", "Keyfold-Position", "Location", "Content-Type"):
            assert again.headers[name] == first.headers[name]
        assert again.headers["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first.headers
        assert await service.backend.store.head() == 2


async def test_a_retry_after_a_loss_shows_no_event_of_others(database: str) -> None:
    """The command had three events, two of which are gone: a marker has the place of one, an event of somebody else the other."""
    key = {"Idempotency-Key": "4f1c"}
    async with desk(database, worker=False) as service, service.client() as client:
        first = await client.post("/enquiries", json=opening(), headers=key)
        await client.post("/enquiries", json=opening("e2"))
        await client.post("/enquiries", json=opening("e3"))
        connection = await asyncpg.connect(database)
        await connection.execute("UPDATE store.command SET last_position = 3 WHERE first_position = 1")
        await connection.execute("UPDATE store.event SET type_name = $1 WHERE position = 2", LOST_TYPE)
        await connection.close()
    async with desk(database, worker=False) as service, service.client() as client:
        again = await client.post("/enquiries", json=opening(), headers=key)
        assert (again.status_code, again.json()) == (201, first.json())


async def test_a_retry_through_a_gateway_is_the_same_command(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        key = {"Idempotency-Key": "4f1c"}
        first = await client.post("/enquiries", json=opening(), headers=key)
        transport = httpx.ASGITransport(app=service.app, root_path="/desk")
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=client.headers) as outside:
            again = await outside.post("/desk/enquiries", json=opening(), headers=key)
        assert again.json() == first.json()


async def test_a_key_used_for_something_else_is_refused(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        key = {"Idempotency-Key": "4f1c"}
        await client.post("/enquiries", json=opening(), headers=key)
        other = await client.post("/enquiries", json=opening("e2"), headers=key)
        assert code(other) == (422, "idempotency_key_reused")
        elsewhere = await client.post("/enquiries/e1/title", json={"title": "x"}, headers=key)
        assert code(elsewhere) == (422, "idempotency_key_reused")
        assert await service.backend.store.head() == 1


async def test_two_people_may_choose_the_same_key(database: str) -> None:
    async with desk(database, worker=False) as service:
        for subject in ("mei", "li"):
            async with service.client(subject) as client:
                made = await client.post("/enquiries", json=opening(subject), headers={"Idempotency-Key": "same"})
                assert (made.status_code, made.json()["id"]) == (201, subject)


async def test_a_refusal_and_a_dry_run_do_not_use_up_the_key(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        key = {"Idempotency-Key": "4f1c"}
        assert code(await client.post("/enquiries/e1/title", json={"title": "x"}, headers=key)) == (404, "not_found")
        tried = await client.post("/enquiries?dry_run=true", json=opening(), headers=key)
        assert (tried.status_code, tried.json()["dry_run"], tried.json()["position"]) == (201, True, None)
        assert [event["type"] for event in tried.json()["events"]] == ["desk.enquiry_opened"]
        assert await service.backend.store.head() == 0
        assert await service.backend.store.command("caller/operator/4f1c") is None
        made = await client.post("/enquiries", json=opening(), headers=key)
        assert (made.status_code, made.headers.get("Idempotency-Replayed")) == (201, None)


@pytest.mark.parametrize(("key", "status"), [("", 400), ("  ", 400), ("x" * 201, 422), ("x" * 200, 201)])
async def test_what_a_key_may_be(database: str, key: str, status: int) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        answer = await client.post("/enquiries", json=opening(), headers={"Idempotency-Key": key})
        assert answer.status_code == status


async def test_the_same_key_twice_at_once_is_one_command(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        key = {"Idempotency-Key": "4f1c"}
        answers = await asyncio.gather(*(client.post("/enquiries", json=opening(), headers=key) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.headers["Keyfold-Position"] for answer in answers}) == 1
        assert await service.backend.store.head() == 1


# --- batches


async def test_a_batch_answers_per_item(database: str) -> None:
    async with desk(database) as service, service.client() as client:
        await client.post("/enquiries", json=opening("there"))
        items = [opening("a"), opening("there"), opening("b"), opening("bug") | {"title": "?"}]
        with structlog.testing.capture_logs() as logged:
            batch = await client.post("/enquiries:batch", json=items, headers={"Idempotency-Key": "load"})
        assert [line["event"] for line in logged if line["log_level"] == "error"] == ["unforeseen error"]
        assert batch.status_code == 200
        body = batch.json()
        assert (body["accepted"], body["refused"]) == (2, 2)
        assert [item["status"] for item in body["items"]] == [201, 409, 201, 500]
        refused = body["items"][1]["problem"]
        assert (refused["code"], refused["instance"]) == ("already_there", "/enquiries:batch#1")
        assert refused["trace_id"] == batch.headers["traceparent"].split("-")[1]
        assert "hunter2" not in batch.text
        assert await service.backend.store.command("caller/operator/load/0") is not None
        again = await client.post("/enquiries:batch", json=items[:3], headers={"Idempotency-Key": "load"})
        assert again.json()["items"][0] == body["items"][0]
        assert await service.backend.store.head() == 3
        for name in ("a", "b"):
            seen = await client.get(f"/enquiries/{name}", headers={"Keyfold-Position": body["position"]})
            assert seen.status_code == 200


async def test_a_batch_that_is_too_long_is_refused_whole(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        many = [opening(f"e{n}") for n in range(501)]
        assert code(await client.post("/enquiries:batch", json=many)) == (413, "batch_too_large")
        assert await service.backend.store.head() == 0


# --- positions


def test_one_token_for_several() -> None:
    assert furthest(["desk/1@5,desk/2@3", "desk/1@4,other/0@9"]) == "desk/1@5,desk/2@3,other/0@9"
    assert furthest([]) is None


async def test_a_token_names_exactly_what_was_written(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        await client.post("/enquiries", json=opening("first"))
        made = await client.post("/enquiries", json=opening("second"))
        [(key, position)] = parse_token(made.json()["position"]).items()
        event: Recorded[Any] = (await service.backend.store.load("enquiry-second"))[0]
        assert (key[0], position) == ("desk", event.position)


async def test_a_read_with_the_token_shows_the_write(database: str) -> None:
    async with desk(database) as service, service.client() as client:
        for n in range(20):
            made = await client.post("/enquiries", json=opening(f"e{n}"))
            position = {"Keyfold-Position": made.headers["Keyfold-Position"]}
            assert (await client.get(f"/enquiries/e{n}", headers=position)).status_code == 200


async def test_without_a_worker_a_token_is_told_to_come_back_at_once(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        made = await client.post("/enquiries", json=opening())
        position = {"Keyfold-Position": made.headers["Keyfold-Position"]}
        async with asyncio.timeout(2):
            answer = await client.get("/enquiries/e1", headers=position)
        assert code(answer) == (503, "not_yet_visible")
        assert answer.headers["Retry-After"] == "1"
        async with working(service.backend):
            assert (await client.get("/enquiries/e1", headers=position)).status_code == 200
        assert (await client.get("/enquiries/e1", headers=position)).status_code == 200


@pytest.mark.parametrize("sent", ["garbage", "desk/1", "desk/1@x", "desk/1@1;desk/2@2", "x" * 1_999])
async def test_a_malformed_token_is_refused(database: str, sent: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        assert code(await client.get("/enquiries", headers={"Keyfold-Position": sent})) == (400, "bad_position")


async def test_a_person_sees_what_the_token_of_their_arrival_names(database: str) -> None:
    """What somebody may see is remembered for a second; a token looks again."""
    async with desk(database) as service, service.client() as operator, service.client("mei", "seller") as mei:
        assert (await mei.get("/enquiries")).json()["items"] == []
        made = await operator.post("/enquiries", json=opening(owner="mei"))
        position = {"Keyfold-Position": made.headers["Keyfold-Position"]}
        seen = await mei.get("/enquiries", headers=position)
        assert [item["enquiry_id"] for item in seen.json()["items"]] == ["e1"]


# --- when the store is busy, and when the caller goes away


async def test_a_full_queue_is_told_to_come_back(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        store = await EventStore.open(database, DESK, max_size=2, queue_limit=0)
        try:
            backend = service.backend
            commands = Commands(store, SECRET, backend.clock)
            service.app.state.backend = replace(backend, store=store, commands=commands)
            answer = await client.post("/enquiries", json=opening())
            assert code(answer) == (503, "busy")
            assert answer.headers["Retry-After"] == "1"
        finally:
            await store.close()


async def test_a_command_whose_caller_hangs_up_is_carried_out(database: str) -> None:
    async with desk(database, worker=False) as service:
        await _call_and_hang_up(service)
        async with asyncio.timeout(5):
            while await service.backend.store.head() == 0:
                await asyncio.to_thread(lambda: None)
        assert [event.actor for event in await service.backend.store.load("enquiry-e1")] == ["mei"]


async def _call_and_hang_up(service: RunningService) -> None:
    """Send a whole command, and close the connection without waiting for an answer."""
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve_http(service.app, "127.0.0.1", 0, stop, on_ready=ready.set_result, draining=asyncio.Event())
    )
    port = int((await ready).rsplit(":", 1)[1])
    body = b'{"id": "e1", "title": "Pumps"}'
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /enquiries HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        + f"Content-Length: {len(body)}\r\nAuthorization: Bearer {token('mei', 'seller')}\r\n\r\n".encode()
        + body
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    stop.set()
    async with asyncio.timeout(5):
        await serving
