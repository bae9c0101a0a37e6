"""What a process that serves requests writes to its log: a line a request, its trace, and nobody's data or secrets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SERVE = """
import asyncio, json, sys
import httpx
from shared.kit.telemetry import configure_logging
from shared.service.http import serve_http
from shared.testing import apps
from tests.shared.web.desk import desk

async def main(database, trace):
    async with desk(database) as service:
        stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(
            serve_http(service.app, "127.0.0.1", 0, stop, on_ready=ready.set_result, draining=asyncio.Event())
        )
        token = apps.token("mei", "operations")
        print(token)
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "hunter2-key", "X-Api-Key": "hunter2-header"}
        async with httpx.AsyncClient(base_url=await ready, headers=headers) as client:
            answers = [
                await client.post("/enquiries", json={"id": "e1", "title": "hunter2-title"},
                                  headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}),
                await client.post("/enquiries", json={"id": "e2", "title": 7, "x": "hunter2-extra"}),
                await client.post("/enquiries", content=b'{"id": "hunter2-broken'),
                await client.get("/enquiries", params={"owner": "hunter2-query", "cursor": "hunter2-cursor"}),
                await client.get("/enquiries", headers={"Authorization": "Bearer hunter2-token"}),
                await client.get("/enquiries?owner=hunter2-zero%00"),
                await client.get("/hunter2-address"),
                await client.get("/enquiries/hunter2-id"),
                await client.get("/enquiries", headers={"Keyfold-Position": "hunter2-position"}),
                await client.get("/healthz"),
                await client.post("/enquiries", json={"id": "e3", "title": "?", "owner": "hunter2-owner"},
                                  headers={"Idempotency-Key": "hunter2-other"}),
            ]
        print(json.dumps([answer.status_code for answer in answers]))
        stop.set()
        await serving

configure_logging("info", sys.argv[3])
asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


@pytest.mark.parametrize("style", ["json", "text"])
def test_the_log_of_requests_has_no_secrets(database: str, style: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE, database, TRACE, style],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    minted, statuses = done.stdout.splitlines()
    assert json.loads(statuses) == [201, 422, 415, 400, 401, 422, 404, 404, 400, 200, 500]
    assert minted not in done.stderr
    # The error's own message is the only thing that a programmer may have put something into.
    rest = done.stderr.replace("nobody foresaw hunter2 here", "")
    assert "hunter2" not in rest
    assert TRACE in rest
    if style == "json":
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        requests = [line for line in lines if line["event"] == "request"]
        assert [line["status"] for line in requests] == [201, 422, 415, 400, 401, 422, 404, 404, 400, 500]
        first = requests[0]
        assert (first["method"], first["route"], first["caller"], first["service"]) == (
            "POST", "/enquiries", "mei", "desk",
        )  # fmt: skip
        assert first["trace_id"] == TRACE
        assert all(len(line["trace_id"]) == 32 for line in requests)
        assert [line["event"] for line in lines if line["level"] == "error"] == ["unforeseen error"]
        assert "Traceback" in next(line for line in lines if line["level"] == "error")["exception"]
