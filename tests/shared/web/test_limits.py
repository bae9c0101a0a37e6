"""How much and how often: buckets of callers, failed authentications, slow and large requests, browsers of other origins."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.kit.permissions import ROLES
from shared.testing.apps import RunningService, token
from shared.web.app import make_app
from shared.web.middleware import LARGEST_HEADERS, LONGEST_ADDRESS, Observe
from shared.web.problems import ProblemError
from shared.web.rates import FAILURES_AT_ONCE, MOST_REMEMBERED, Limiter, Limits, Rate, limits
from tests.shared.web.desk import desk

RATE = Rate(per_second=2, burst=3)
PAGE = "https://sales.example.com"


def test_a_burst_is_taken_at_once_then_one_for_each_interval() -> None:
    empty_at = 0.0
    for _ in range(3):
        empty_at, early = RATE.admit(empty_at, 10.0)
        assert early == 0
    again, early = RATE.admit(empty_at, 10.0)
    assert again == empty_at
    assert early == pytest.approx(0.5)
    assert RATE.admit(empty_at, 10.5)[1] == 0


def test_a_refused_request_does_not_fill_the_bucket() -> None:
    empty_at = 11.5
    for _ in range(100):
        empty_at, _ = RATE.admit(empty_at, 10.0)
    assert empty_at == 11.5


def test_callers_have_buckets_of_their_own_and_the_oldest_are_forgotten() -> None:
    limiter = Limiter(Rate(1, 1), "rate_limited", "too many", clock=lambda: 5.0)
    limiter.count("ada")
    limiter.count("bo")
    with pytest.raises(ProblemError) as refused:
        limiter.count("ada")
    assert (refused.value.status, refused.value.code, refused.value.headers["Retry-After"]) == (
        429,
        "rate_limited",
        "1",
    )
    for number in range(MOST_REMEMBERED):
        limiter.count(f"other {number}")
    limiter.count("ada")


def _app(service: RunningService, allowed: Limits, **more: Any) -> RunningService:
    state = service.app.state
    return RunningService(
        service.backend, make_app(service.backend, state.verifier, state.draining, allowed=allowed, **more)
    )


async def test_a_caller_who_asks_too_often_is_told_how_long_to_wait_and_others_are_not(database: str) -> None:
    async with desk(database) as service:
        limited = _app(service, limits(0.001, 2))
        async with limited.client("ada") as ada, limited.client("bo") as bo:
            assert [(await ada.get("/enquiries")).status_code for _ in range(3)] == [200, 200, 429]
            refused = await ada.post("/enquiries", json={"id": "e1", "title": "x"})
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
            assert int(refused.headers["retry-after"]) > 900
            assert refused.headers["ratelimit-policy"] == '"rate_limited";q=2;w=2000'
            assert refused.headers["ratelimit"].startswith('"rate_limited";r=0;t=')
            assert await limited.backend.store.head() == 0
            assert (await bo.get("/enquiries")).status_code == 200
            assert (await ada.get("/healthz")).status_code == 200


async def test_bad_tokens_of_an_address_are_limited_and_good_ones_are_not(database: str) -> None:
    async with desk(database) as service:
        limited = _app(service, limits(0, 1))
        bad, late = {"Authorization": "Bearer x.y.z"}, {"Authorization": f"Bearer {token('ada', *ROLES, days=-1)}"}
        async with limited.stranger() as stranger, limited.client("ada") as ada:
            for _ in range(FAILURES_AT_ONCE):
                assert (await stranger.get("/enquiries", headers=late)).json()["code"] == "token_expired"
            codes = [(await stranger.get("/enquiries", headers=bad)).status_code for _ in range(FAILURES_AT_ONCE + 20)]
            assert codes[:FAILURES_AT_ONCE] == [401] * FAILURES_AT_ONCE
            assert 429 in codes[FAILURES_AT_ONCE:]
            assert (await ada.get("/enquiries")).status_code == 200


async def test_headers_and_addresses_have_a_limit(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        long = await client.get("/enquiries", params={"cursor": "x" * LONGEST_ADDRESS})
        assert (long.status_code, long.json()["code"]) == (414, "address_too_long")
        large = await client.get("/enquiries", headers={"X-Large": "x" * LARGEST_HEADERS})
        assert (large.status_code, large.json()["code"]) == (431, "headers_too_large")


async def test_answers_are_for_nobody_s_cache_and_of_the_type_they_say(database: str) -> None:
    async with desk(database, worker=False) as service, service.stranger() as client:
        for answer in (await client.get("/healthz"), await client.get("/enquiries")):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"


async def test_a_page_of_a_named_origin_may_call_and_no_other(database: str) -> None:
    async with desk(database) as service:
        open_to = _app(service, limits(0, 1), origins=(PAGE,))
        asks = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,idempotency-key",
        }
        async with open_to.stranger() as browser:
            allowed = await browser.options("/enquiries", headers={"Origin": PAGE, **asks})
            assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, PAGE)
            refused = await browser.get("/enquiries", headers={"Origin": PAGE})
            assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PAGE)
            assert "Keyfold-Position" in refused.headers["access-control-expose-headers"]
            foreign = await browser.options("/enquiries", headers={"Origin": "https://elsewhere.example", **asks})
            assert (foreign.status_code, "access-control-allow-origin" in foreign.headers) == (400, False)
        async with service.stranger() as browser:
            silent = await browser.get("/enquiries", headers={"Origin": PAGE})
            assert "access-control-allow-origin" not in silent.headers


async def test_a_body_that_does_not_arrive_is_408_and_a_caller_who_waits_for_the_answer_is_not(database: str) -> None:
    async with desk(database, worker=False) as service:
        assert (await _ask(service, stalls=True)).status_code == 408
        assert (await _ask(service, stalls=False)).status_code == 200


async def _ask(service: RunningService, *, stalls: bool) -> httpx.Response:
    """A request whose body stops half way, or comes whole and is answered only after longer than a body may take."""
    patience = 0.05
    messages = [{"type": "http.request", "body": b"{", "more_body": stalls}]

    async def receive() -> MutableMapping[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        with pytest.raises(TimeoutError):  # as the framework waits for the caller to go away
            await asyncio.wait_for(receive(), 2 * patience)
        await Response("{}", media_type="application/json")(scope, receive, send)

    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": "/x", "raw_path": b"/x", "query_string": b"", "headers": [],
        "scheme": "http", "server": ("keyfold.test", 80), "root_path": "",
    }  # fmt: skip
    observe = Observe(app, "desk", service.app.state.metrics, patience=lambda _: patience)
    await observe(scope, receive, send)
    return httpx.Response(sent[0]["status"], content=sent[1]["body"])
