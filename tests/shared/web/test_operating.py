"""Health, readiness, figures, the OpenAPI document, and the app below another one."""

import asyncio
import math
import re
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest
import sqlalchemy as sa
import structlog
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import QueuePool

from shared.kit.figures import Figures
from shared.kit.postgres_server import start_postgres
from shared.log.port import Log, LogUnavailableError
from shared.projections.definition import Projection
from shared.service.backend import Answered, open_backend
from shared.service.definition import ReadGauge
from shared.service.http import serve_http
from shared.service.worker import Worker
from shared.testing.apps import SECRET, RunningService, working
from shared.web.app import describe, make_app, make_worker_app
from shared.web.health import readiness, worker_readiness
from shared.web.measuring import measure
from shared.web.metrics import Metrics
from shared.web.middleware import Observe
from tests.shared.web.desk import DESK, SERVICE, desk


def figure(text: str, name: str, **labels: str) -> float | None:
    """The value of a sample with at least these labels; None when there is none."""
    for line in text.splitlines():
        match = re.fullmatch(rf"{name}\{{(.*)\}} (\S+)", line)
        if match and all(f'{label}="{value}"' in match[1] for label, value in labels.items()):
            return float(match[2])
    return None


async def test_ready_means_database_and_read_models(database: str) -> None:
    async with desk(database) as service, service.stranger() as client:
        assert (await client.get("/healthz")).json() == {"status": "alive"}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert ready.json()["checks"]["desk"] == {
            "draining": "no", "database": "ok", "read_models": "ok", "worker": "alive",
        }  # fmt: skip


async def test_draining_is_not_ready_and_a_missing_worker_is(database: str) -> None:
    async with desk(database, worker=False) as service, service.stranger() as client:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["desk"]["worker"]) == (200, "none")
        service.app.state.draining.set()
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["desk"]["draining"]) == (503, "yes")
        assert (await client.get("/healthz")).status_code == 200


async def test_one_that_has_too_much_to_do_stays_ready_or_the_others_would_have_more(database: str) -> None:
    async with desk(database, worker=False) as service, service.stranger() as client, AsyncExitStack() as busy:
        pool = service.backend.engine.pool
        assert isinstance(pool, QueuePool)
        for _ in range(pool.size()):
            await busy.enter_async_context(service.backend.engine.connect())
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["desk"]["database"]) == (200, "slow")
        unheard = replace(service.backend, answered=Answered())
        found = await readiness(unheard, asyncio.Event())
        assert (found.ready, found.checks["database"]) == (False, "slow")
        service.app.state.draining.set()
        stopping = await client.get("/readyz")  # without a look at the database
        assert (stopping.status_code, stopping.json()["checks"]["desk"]) == (503, {"draining": "yes"})


async def test_a_database_that_was_not_migrated_is_not_ready(database: str, databases: Any) -> None:
    async with desk(database, worker=False) as service:
        backend = service.backend
        empty = await databases("empty")
        async with open_backend(SERVICE, empty, backend.log, SECRET, backend.calendar) as bare:
            found = await readiness(bare, service.app.state.draining)
        assert (found.ready, found.checks["database"]) == (False, "not migrated")


async def test_without_its_database_it_is_alive_and_not_ready(tmp_path: Any) -> None:
    server = start_postgres(tmp_path / "postgres")
    dsn = server.dsn("postgres")
    try:
        async with desk(dsn) as service, service.client() as client:
            assert (await client.get("/readyz")).status_code == 200
            server.stop()
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["checks"]["desk"]["database"]) == (503, "unreachable")
            assert (await client.get("/healthz")).status_code == 200
            text = (await client.get("/metrics")).text
            assert figure(text, "keyfold_database_up", service="desk") == 0
            for name in ("keyfold_workers", "keyfold_store_head", "keyfold_relay_lag_seconds", "keyfold_due_waiting"):
                assert math.isnan(figure(text, name, service="desk") or 0), (
                    "an old value, or 0, would tell of another trouble"
                )
            for answer in (
                await client.get("/enquiries"),
                await client.get("/events"),
                await client.post("/enquiries", json={"id": "e1", "title": "x"}),
            ):
                assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
                assert answer.headers["Retry-After"] == "1"
    finally:
        server.stop()


async def test_figures_name_routes_and_how_far_readers_are(database: str) -> None:
    async with desk(database) as service, service.client() as client:
        made = await client.post("/enquiries", json={"id": "e1", "title": "x"})
        await client.get("/enquiries/e1", headers={"Keyfold-Position": made.headers["Keyfold-Position"]})
        await client.get("/enquiries/none")
        await client.get("/no/such/address")
        await client.get("/readyz")
        await client.get("/metrics")
        await client.delete("/enquiries")
        await client.request("BREW", "/enquiries")
        text = (await client.get("/metrics")).text
    requests, labels = "keyfold_http_requests_total", {"service": "desk"}
    assert figure(text, requests, method="POST", route="/enquiries", status="201", **labels) == 1
    assert figure(text, requests, method="GET", route="/enquiries/{enquiry_id}", status="200", **labels) == 1
    assert figure(text, requests, method="GET", route="/enquiries/{enquiry_id}", status="404", **labels) == 1
    assert figure(text, requests, method="GET", route="unknown", status="404", **labels) == 1
    assert figure(text, requests, method="other", status="405", **labels) == 1
    assert figure(text, requests, route="/readyz") is None
    assert figure(text, requests, route="/metrics") is None
    assert "/enquiries/e1" not in text
    assert "BREW" not in text
    assert "such" not in text
    assert figure(text, "keyfold_store_head", **labels) == 1
    assert figure(text, "keyfold_workers", **labels) == 1
    reader = {"reader": "enquiry_list_g1", "topic": "keyfold.desk.events"}
    assert figure(text, "keyfold_reader_lag_records", **labels, **reader) == 0
    assert figure(text, "keyfold_reader_parked_events", **labels, reader="enquiry_list_g1") == 0


async def test_what_is_still_to_be_read_is_counted(database: str) -> None:
    async with desk(database) as service, service.client() as client:
        await client.post("/enquiries", json={"id": "e1", "title": "x"})
    async with desk(database, worker=False) as service, service.client() as client:
        await client.post("/enquiries", json={"id": "e2", "title": "x"})
        text = (await client.get("/metrics")).text
        assert figure(text, "keyfold_store_head", service="desk") == 2
        assert figure(text, "keyfold_workers", service="desk") == 0
        assert figure(text, "keyfold_relay_lag_events", service="desk") == 1
        assert 0 < (figure(text, "keyfold_relay_lag_seconds", service="desk") or 0) < 60
        async with service.backend.engine.begin() as connection:
            await connection.execute(sa.text("UPDATE store.event SET recorded_at = recorded_at - interval '1 hour'"))
        text = (await client.get("/metrics")).text
        assert 3_600 < (figure(text, "keyfold_relay_lag_seconds", service="desk") or 0) < 3_660


class Away:
    """A log that cannot be reached."""

    async def partitions(self, topic: str) -> int:
        raise LogUnavailableError(f"no broker holds {topic}")


async def test_what_is_not_built_or_not_reached_hides_nothing_else(database: str) -> None:
    async def zero(_: AsyncConnection) -> float:
        return 0.0

    never = ReadGauge("keyfold_never", "Not built.", Projection("never_built", sources=[DESK]), zero)
    async with desk(database) as service, service.client() as client:
        made = await client.post("/enquiries", json={"id": "e1", "title": "x"})
        await client.get("/enquiries/e1", headers={"Keyfold-Position": made.headers["Keyfold-Position"]})
        metrics = Metrics(Figures("desk"))
        backend = replace(service.backend, service=replace(SERVICE, gauges=(never,)))
        await measure(metrics, backend)
        text = metrics.figures.text().decode()
        assert [figure(text, f"keyfold_{name}_up", service="desk") for name in ("database", "log")] == [1, 1]
        assert figure(text, "keyfold_reader_lag_seconds", reader="enquiry_list_g1") == 0
        await measure(metrics, replace(backend, log=cast(Log, Away())))
        text = metrics.figures.text().decode()
        assert [figure(text, f"keyfold_{name}_up", service="desk") for name in ("database", "log")] == [1, 0]
        assert figure(text, "keyfold_reader_lag_seconds", reader="enquiry_list_g1") is None
        assert figure(text, "keyfold_reader_alarms", reader="enquiry_list_g1") == 0


# --- below another app


def mounted(service: RunningService) -> httpx.AsyncClient:
    root = FastAPI(openapi_url=None)
    app = make_app(service.backend, service.app.state.verifier, service.app.state.draining)
    root.mount("/desk", app)
    root.state.inner = app
    headers = service.client().headers
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=root), base_url="http://x", headers=headers)


async def test_below_a_prefix_everything_is_the_same(database: str) -> None:
    async with desk(database) as service, mounted(service) as client:
        made = await client.post("/desk/enquiries", json={"id": "e1", "title": "x"})
        assert made.status_code == 201
        seen = await client.get("/desk/enquiries/e1", headers={"Keyfold-Position": made.headers["Keyfold-Position"]})
        assert seen.status_code == 200
        missing = await client.get("/desk/enquiries/none")
        assert (missing.json()["instance"], missing.json()["code"]) == ("/desk/enquiries/none", "not_found")
        nowhere = await client.get("/desk/nothing")
        assert (nowhere.status_code, nowhere.headers["Content-Type"]) == (404, "application/problem+json")
        with structlog.testing.capture_logs():
            assert (await client.get("/desk/boom")).json()["code"] == "internal_error"
        text = (await client.get("/desk/metrics")).text
        for route, status in (("/enquiries/{enquiry_id}", "200"), ("unknown", "404"), ("/boom", "500")):
            assert figure(text, "keyfold_http_requests_total", route=route, status=status) == 1, route


async def test_below_a_prefix_the_document_names_it(database: str) -> None:
    async with desk(database, worker=False) as service, mounted(service) as client:
        document = (await client.get("/desk/openapi.json")).json()
        assert document["servers"] == [{"url": "/desk"}]
        assert "/enquiries" in document["paths"]
        assert "/desk/openapi.json" in (await client.get("/desk/docs")).text


# --- the document


def test_every_error_is_documented_as_a_problem() -> None:
    document = describe(SERVICE).openapi()
    assert "HTTPValidationError" not in str(document)
    assert document["components"]["schemas"]["Problem"]["properties"]["trace_id"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert "application/problem+json" in operation["responses"]["default"]["content"], (path, method)
            for status, response in operation["responses"].items():
                if status >= "400" and status != "default" and "content" in response and path != "/readyz":
                    assert list(response["content"]) == ["application/problem+json"], (path, method, status)


def test_the_document_is_the_same_each_time() -> None:
    assert describe(SERVICE).openapi() == describe(SERVICE).openapi()
    app = describe(SERVICE)
    assert app.openapi() is app.openapi()


@pytest.mark.parametrize("path", ["/enquiries", "/enquiries/{enquiry_id}/title"])
def test_commands_document_what_they_all_take(path: str) -> None:
    names = {one["name"] for one in describe(SERVICE).openapi()["paths"][path]["post"]["parameters"]}
    assert {"idempotency-key", "if-match", "dry_run"} <= {name.lower() for name in names}


# --- a worker's own port


async def test_a_worker_is_ready_when_it_publishes_and_its_heart_beats(database: str) -> None:
    async with desk(database, worker=False) as service:
        worker, stop = Worker(service.backend, "w1"), asyncio.Event()
        transport = httpx.ASGITransport(app=make_worker_app(worker, draining=stop))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            idle = await client.get("/readyz")
            assert (idle.status_code, idle.json()["checks"]["desk"]) == (
                503, {"draining": "no", "database": "ok", "relay": "stopped", "heart": "does not beat"},
            )  # fmt: skip
            running = asyncio.create_task(worker.run(stop))
            while (ready := await client.get("/readyz")).status_code == 503:
                assert not running.done()
            assert ready.json()["checks"]["desk"] == {
                "draining": "no", "database": "ok", "relay": "publishing", "heart": "beats",
            }  # fmt: skip
            async with asyncio.timeout(10):
                async with working(service.backend, "w2") as second:
                    while not (found := await worker_readiness(second, stop)).ready:
                        assert found.checks["database"] == "ok"
                    assert found.checks["relay"] == "standby"
            assert (await client.get("/healthz")).json() == {"status": "alive"}
            assert figure((await client.get("/metrics")).text, "keyfold_workers", service="desk") == 1
            stop.set()
            await running
            assert (await client.get("/readyz")).json()["checks"]["desk"]["draining"] == "yes"
            assert (await client.get("/enquiries")).status_code == 404
            assert (await client.get("/openapi.json")).status_code == 404
            assert (await client.post("/enquiries")).headers["Content-Type"] == "application/problem+json"


async def test_a_worker_without_its_database_is_alive_and_not_ready(tmp_path: Any) -> None:
    server = start_postgres(tmp_path / "postgres")
    try:
        async with desk(server.dsn("postgres"), worker=False) as service, working(service.backend) as worker:
            while not (await worker_readiness(worker, asyncio.Event())).ready:
                pass
            await asyncio.to_thread(server.stop)
            found = await worker_readiness(worker, asyncio.Event())
            assert (found.ready, found.checks["database"]) == (False, "unreachable")
    finally:
        server.stop()


async def test_what_is_not_answered_when_the_process_stops_may_be_asked_again() -> None:
    begun = asyncio.Event()

    async def hangs(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = Observe(hangs, "desk", Metrics(Figures("desk")))
    serving = asyncio.create_task(
        serve_http(app, "127.0.0.1", 0, stop, on_ready=ready.set_result, draining=asyncio.Event(), drain_seconds=0.1)
    )
    async with httpx.AsyncClient(base_url=await ready, timeout=30) as client:
        asking = asyncio.create_task(client.post("/enquiries"))
        await begun.wait()
        stop.set()
        answer = await asking
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "stopping", "1")
    assert "Idempotency-Key" in answer.json()["detail"]
    await serving
