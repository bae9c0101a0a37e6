"""Every error as a problem: status, code, media type, trace; and what nobody foresaw, told without its details."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from shared.contracts.refusal import Reason, RefusedError, refuse
from shared.eventstore.types import (
    AppendsRefusedError,
    EventTooLargeError,
    IdempotencyMismatchError,
    StaleVersionError,
    StoreBusyError,
    VersionConflictError,
)
from shared.files.port import FileLostError, FilesUnavailableError
from shared.log.port import LogUnavailableError
from shared.projections.reads import NotBuiltError, NotYetVisibleError
from shared.projections.tokens import BadTokenError
from shared.service.backend import open_backend
from shared.testing.apps import SECRET
from shared.web.problems import MEDIA_TYPE, bad_request, problem_of
from tests.shared.web.desk import desk

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (bad_request("bad_thing", "no", field="thing"), 400, "bad_thing"),
        (refuse("too_late", "it is over"), 409, "too_late"),
        (refuse("negative", "below zero", kind="input"), 422, "negative"),
        (refuse("not_found", "there is none", kind="missing"), 404, "not_found"),
        (refuse("not_yours", "somebody else's", kind="forbidden"), 403, "not_yours"),
        (StaleVersionError(3, 5), 412, "stale_version"),
        (VersionConflictError(), 409, "conflict"),
        (IdempotencyMismatchError("a/b"), 422, "idempotency_key_reused"),
        (EventTooLargeError("300 KiB"), 422, "event_too_large"),
        (BadTokenError("looks like"), 400, "bad_position"),
        (StoreBusyError("full"), 503, "busy"),
        (AppendsRefusedError("behind"), 503, "appends_refused"),
        (NotYetVisibleError("later"), 503, "not_yet_visible"),
        (NotBuiltError("no worker"), 503, "not_built"),
        (LogUnavailableError("gone"), 503, "log_unavailable"),
        (FilesUnavailableError("/srv/secret/folder is full"), 503, "files_unavailable"),
        (FileLostError("/srv/secret/folder/ab is not there"), 500, "file_lost"),
        (PoolTimeoutError("pool"), 503, "busy"),
        (ConnectionRefusedError("gone"), 503, "database_unavailable"),
        (asyncpg.AdminShutdownError("shutting down"), 503, "database_unavailable"),
        (asyncpg.CharacterNotInRepertoireError("0x00"), 422, "bad_text"),
        (HTTPException(418), 418, "i'm_a_teapot"),
    ],
)
def test_each_error_has_its_status_and_code(error: Exception, status: int, code: str) -> None:
    problem = problem_of(error)
    assert problem is not None
    assert (problem.status, problem.code) == (status, code)
    assert ("Retry-After" in problem.headers) == (status == 503)
    assert "/srv" not in problem.detail


@pytest.mark.parametrize(
    "error",
    [RuntimeError("bug"), KeyError("bug"), asyncpg.UndefinedColumnError("bug"), DBAPIError("SELECT", None, ValueError("bug"))]
)  # fmt: skip
def test_a_bug_is_not_taken_for_passing_trouble(error: Exception) -> None:
    assert problem_of(error) is None


def test_all_reasons_of_a_refusal_are_told() -> None:
    problem = problem_of(RefusedError((Reason("one", "first", "a", "x"), Reason("two", "second", "b", "y"))))
    assert problem is not None
    assert problem.detail == "first; second"
    assert [(fault.code, fault.field, fault.expected) for fault in problem.errors] == [
        ("one", "a", "x"), ("two", "b", "y"),
    ]  # fmt: skip


def told(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of a problem that has all that every problem has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:keyfold:problem:{code}")
    assert body["instance"] == answer.request.url.path
    assert body["trace_id"] == answer.headers["traceparent"].split("-")[1]
    return body


async def test_a_refusal_is_told_with_the_callers_trace(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        await client.post("/enquiries", json={"id": "e1", "title": "Pumps"})
        again = await client.post(
            "/enquiries",
            json={"id": "e1", "title": "Pumps"},
            headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        )
        body = told(again, 409, "already_there")
        assert body["trace_id"] == TRACE
        assert body["errors"] == [
            {"code": "already_there", "message": "there is an enquiry e1", "field": "id", "expected": "another id"}
        ]
        told(await client.post("/enquiries/none/title", json={"title": "x"}), 404, "not_found")
        long = await client.post("/enquiries/" + "x" * 600 + "/title", json={"title": "x"})
        told(long, 422, "bad_id")


async def test_an_unforeseen_error_is_logged_once_and_told_without_details(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logged:
            answer = await client.get("/boom")
        body = told(answer, 500, "internal_error")
        assert "hunter2" not in answer.text
        errors = [line for line in logged if line["log_level"] == "error"]
        assert [(line["event"], line["trace_id"]) for line in errors] == [("unforeseen error", body["trace_id"])]
        requests = [line for line in logged if line["event"] == "request"]
        assert [(line["status"], line["route"]) for line in requests] == [(500, "/boom")]


async def test_what_is_wrong_with_the_input_is_told_all_at_once(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        answer = await client.post("/enquiries", json={"title": "", "owner": 7, "colour": "red"})
        body = told(answer, 422, "invalid_request")
        assert {fault["field"] for fault in body["errors"]} == {"id", "title", "owner", "colour"}
        answer = await client.get("/enquiries?limit=1000000")
        assert told(answer, 422, "invalid_request")["errors"][0]["field"] == "limit"


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b'{"id": ', JSON, 400, "broken_json"),
        (b"\xff\xfe", JSON, 400, "broken_json"),
        (b"[" * 100_000, JSON, 400, "broken_json"),
        (b'{"id": "e1", "title": ' + b"[" * 500 + b"]" * 500 + b"}", JSON, 422, "invalid_request"),
        (b'{"id": "e1", "title": "Pumps"}', {"Content-Type": "text/plain"}, 415, "not_json"),
        (b'{"id": "e1", "title": "Pumps"}', {}, 415, "not_json"),
        (b"", JSON, 422, "invalid_request"),
        (b"null", JSON, 422, "invalid_request"),
        (b'{"id": "e1", "title": "\\ud800"}', JSON, 422, "invalid_request"),
        (b'{"id": "e1", "title": "a", "\\ud800": "\\udfff"}', JSON, 422, "invalid_request"),
        (b'{"id": "e\\u00001", "title": "a"}', JSON, 422, "invalid_request"),
        (b'{"id": "e1", "title": NaN}', JSON, 422, "invalid_request"),
        (b"{" + b",".join(b'"k%d": 1' % n for n in range(5_000)) + b"}", JSON, 422, "invalid_request"),
    ],
)
async def test_a_body_that_cannot_be_taken(
    database: str, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        told(await client.post("/enquiries", content=content, headers=headers), status, code)
        assert await service.backend.store.head() == 0


async def test_a_body_that_is_too_large_is_refused_by_its_length_and_by_its_chunks(database: str) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 1
            yield b" " * 65_536

    async with desk(database, worker=False) as service, service.client() as client:
        whole = json.dumps({"id": "e1", "title": "x" * 1_048_576})
        told(await client.post("/enquiries", content=whole, headers=JSON), 413, "body_too_large")
        told(await client.post("/enquiries", content=chunks(), headers=JSON), 413, "body_too_large")
        endless = JSON | {"Content-Length": "9" * 5_000}
        told(await client.post("/enquiries", content=b"{}", headers=endless), 413, "body_too_large")


async def test_addresses_and_methods_that_do_not_exist(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        told(await client.get("/nothing"), 404, "not_found")
        told(await client.get("/enquiries/"), 404, "not_found")
        answer = await client.delete("/enquiries")
        assert "POST" in told(answer, 405, "method_not_allowed")["detail"] or "GET" in answer.headers["Allow"]
        head = await client.head("/healthz")
        assert (head.status_code, head.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("path", ["/enquiries/%00", "/enquiries/e1%27%20OR%201=1", "/enquiries?owner=%00"])
async def test_text_that_the_database_cannot_take_is_the_callers_fault(database: str, path: str) -> None:
    async with desk(database) as service, service.client() as client:
        assert (await client.get(path)).status_code in (404, 422)


async def test_no_connection_left_is_503_and_the_pool_is_whole_afterwards(database: str) -> None:
    async with desk(database) as service:
        backend = service.backend
        async with open_backend(
            backend.service, database, backend.log, SECRET, backend.calendar, read_connections=1, queue_seconds=0.2
        ) as narrow:
            service.app.state.backend = narrow
            async with service.client() as client, narrow.engine.connect():
                answer = await client.get("/enquiries")
                body = told(answer, 503, "busy")
                assert answer.headers["Retry-After"] == "1"
                assert "connections" in body["detail"]
            async with service.client() as client:
                assert (await client.get("/enquiries")).status_code == 200


async def test_many_strangers_at_once_do_not_wait_for_each_others_connections(database: str) -> None:
    """Each needs a connection for what it may see and one for what it reads; never two at the same time."""
    async with desk(database) as service:
        clients = [service.client(f"stranger{n}", "seller") for n in range(16)]
        try:
            answers = await asyncio.gather(*(client.get("/enquiries") for client in clients))
        finally:
            for client in clients:
                await client.aclose()
        assert [answer.status_code for answer in answers] == [200] * 16
