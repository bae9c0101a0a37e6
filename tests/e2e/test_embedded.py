"""`keyfold up`: a first look without a server, and the second day."""

import re
import signal
import socket
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import Start, Started, free_port

REPORT = bytes(range(256)) * 20_000


def _client(port: int, started: Started) -> httpx.AsyncClient:
    found = re.search(r"^(eyJ[\w.-]+)$", started.output, re.MULTILINE)
    assert found, f"no token in:\n{started.output}"
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {found[1]}"})


async def _opportunities(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get("/opportunity/opportunities", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_first_start_shows_a_company_and_the_second_keeps_what_was_done(start: Start, tmp_path: Path) -> None:
    port = free_port()
    settings = {"KEYFOLD_DATA": str(tmp_path / "data"), "KEYFOLD_PORT": str(port)}
    first = await start("up", **settings)
    await first.says("Ctrl-C")
    for expected in ("First start", f"http://127.0.0.1:{port}", "searching", "in_funnel", "best"):
        assert expected in first.output
    async with _client(port, first) as client:
        listed = await _opportunities(client, limit=200)
        assert 50 <= len(listed["items"]) <= 80
        opened = await client.post("/opportunity/opportunities", json={"name": "验收专用七号线"})
        assert opened.status_code == 201, opened.text
        position = {"Keyfold-Position": opened.headers["Keyfold-Position"]}
        page = await client.get(f"/opportunity/opportunities/{opened.json()['id']}", headers=position)
        assert page.json()["name"] == "验收专用七号线"
        files = f"/opportunity/opportunities/{opened.json()['id']}/files"
        attached = await client.post(files, params={"name": "验收报告.bin"}, content=REPORT)
        assert attached.status_code == 201, attached.text
        assert attached.headers["Location"] == f"{files}/{attached.json()['id']}"
        evidence = {"kind": "file", "note": "验收报告", "files": [attached.json()["id"]]}
        step = {"milestone": "information_gathered", "evidence": evidence}
        reached = await client.post(f"/opportunity/opportunities/{opened.json()['id']}/milestones", json=step)
        assert reached.status_code == 200, reached.text
        assert (await client.get("/readyz")).json()["status"] == "ready"
    assert await first.stop(signal.SIGINT) == 0, first.output
    assert "Traceback" not in first.output

    second = await start("up", **settings)
    await second.says("Ctrl-C")
    assert "First start" not in second.output
    async with _client(port, second) as client:
        found = await _opportunities(client, q="验收专用七号线")
        assert [item["id"] for item in found["items"]] == [opened.json()["id"]]
        assert len((await _opportunities(client, limit=200))["items"]) == len(listed["items"]) + 1
        [evidenced] = (await client.get(f"/opportunity/opportunities/{opened.json()['id']}")).json()["evidence"]
        assert [one["name"] for one in evidenced["files"]] == ["验收报告.bin"]
        assert (await client.get(evidenced["files"][0]["href"])).content == REPORT
    assert await second.stop(signal.SIGTERM) == 0, second.output


async def test_a_port_in_use_is_said_before_anything_is_made(start: Start, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = await start("up", KEYFOLD_DATA=str(tmp_path / "data"), KEYFOLD_PORT=str(port))
        assert await refused.ends() == 1
    assert str(port) in refused.output
    assert "KEYFOLD_PORT" in refused.output
    assert "Traceback" not in refused.output
    assert not (tmp_path / "data").exists()


async def test_faulty_settings_are_all_named_at_once(start: Start) -> None:
    refused = await start("up", KEYFOLD_PORT="seven", KEYFOLD_TIME_ZONE="Mars/Olympus")
    assert await refused.ends() == 2
    assert "KEYFOLD_PORT" in refused.output
    assert "KEYFOLD_TIME_ZONE" in refused.output
