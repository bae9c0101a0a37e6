"""A backup that is made under load, restored elsewhere, and restored beside a log that knows more."""

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import Start, Started, free_port

REPORT = bytes(range(256)) * 5_000


@dataclass(frozen=True)
class Acknowledged:
    key: str
    position: int
    answer: dict[str, Any]


@dataclass
class Company:
    """An embedded installation in a folder."""

    start: Start
    data: Path
    port: int

    @property
    def settings(self) -> dict[str, str]:
        return {"KEYFOLD_DATA": str(self.data), "KEYFOLD_PORT": str(self.port)}

    async def up(self) -> tuple[Started, httpx.AsyncClient]:
        started = await self.start("up", "--no-demo", **self.settings)
        await started.says("Ctrl-C")
        found = re.search(r"^(eyJ[\w.-]+)$", started.output, re.MULTILINE)
        assert found
        headers = {"Authorization": f"Bearer {found[1]}"}
        return started, httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}/opportunity", headers=headers, timeout=60
        )

    async def run(self, *arguments: str, code: int = 0) -> str:
        done = await self.start(*arguments, **self.settings, KEYFOLD_LOG_LEVEL="error")
        assert await done.ends() == code, done.output
        assert "Traceback" not in done.output
        return done.output


async def opened(client: httpx.AsyncClient, key: str) -> Acknowledged:
    answer = await client.post("/opportunities", json={"name": f"Deal {key}"}, headers={"Idempotency-Key": key})
    assert answer.status_code == 201, answer.text
    return Acknowledged(key, int(answer.headers["Keyfold-Position"].rpartition("@")[2]), answer.json())


async def names(client: httpx.AsyncClient) -> set[str]:
    found: set[str] = set()
    after: dict[str, str] = {}
    while True:
        page = (await client.get("/opportunities", params={"limit": 200, **after})).json()
        found |= {one["name"] for one in page["items"]}
        if not page["next_cursor"]:
            return found
        after = {"cursor": page["next_cursor"]}


async def test_what_was_acknowledged_comes_back(start: Start, tmp_path: Path) -> None:
    first = Company(start, tmp_path / "first", free_port())
    started, client = await first.up()
    kept: list[Acknowledged] = []
    enough = asyncio.Event()

    async def load(caller: int) -> None:
        number = 0
        while not enough.is_set():
            kept.append(await opened(client, f"{caller}-{number}"))
            number += 1

    async with client:
        before = await opened(client, "before")
        files = f"/opportunities/{before.answer['id']}/files"
        attached = await client.post(files, params={"name": "report.bin"}, content=REPORT)
        assert attached.status_code == 201, attached.text
        async with asyncio.TaskGroup() as callers:
            for caller in range(3):
                callers.create_task(load(caller))
            made = json.loads(await first.run("backup", str(tmp_path / "backup"), "--json"))
            enough.set()
        assert await started.stop() == 0, started.output
    head = made["services"]["opportunity"]["head"]
    saved = [one for one in kept if one.position <= head]
    later = [one for one in kept if one.position > head]
    assert saved
    assert later

    # Elsewhere: the log is empty, and filled again from the stores.
    second = Company(start, tmp_path / "second", free_port())
    assert "publishes them again" in await second.run("restore", str(tmp_path / "backup"))
    assert "holds an installation" in await second.run("restore", str(tmp_path / "backup"), code=1)
    started, client = await second.up()
    async with client:
        assert await names(client) == {"Deal before", *(f"Deal {one.key}" for one in saved)}
        for one in (before, *saved[-5:]):
            assert await opened(client, one.key) == one
        assert (await client.get(attached.headers["Location"].removeprefix("/opportunity"))).content == REPORT
        for row in json.loads(await second.run("verify", "opportunity", "--json")):
            assert (row["rows_differing"], row["parked"]) == (0, 0)
        assert (await opened(client, "afterwards")).position == head + 1
        assert await started.stop() == 0, started.output

    # At home: the log knows more than the backup.
    told = await first.run("restore", str(tmp_path / "backup"), "--replace")
    assert f"the log goes on to {head + len(later)}" in told
    assert "keyfold recover opportunity" in told
    assert "`keyfold recover opportunity`" in await first.run("up", "--no-demo", code=1)
    assert f"{len(later)} events brought back" in await first.run("recover", "opportunity")
    started, client = await first.up()
    async with client:
        assert await names(client) == {"Deal before", *(f"Deal {one.key}" for one in kept)}
        for one in (*saved[-3:], *later[-3:]):
            assert await opened(client, one.key) == one
        assert (await opened(client, "afterwards")).position == head + len(later) + 1
    assert await started.stop() == 0, started.output


async def test_a_damaged_backup_changes_nothing(start: Start, tmp_path: Path) -> None:
    company = Company(start, tmp_path / "data", free_port())
    backup = tmp_path / "backup"
    await company.run("migrate")
    await company.run("backup", str(backup))
    assert "whole" in await company.run("backup", "--verify", str(backup))
    assert "new folder" in await company.run("backup", str(backup), code=1)
    other = Company(start, tmp_path / "other", free_port())
    dump = backup / "opportunity.dump"
    content = dump.read_bytes()
    for damage, told in ((content[:-1], "its SHA-256 is another"), (None, "missing")):
        dump.unlink() if damage is None else dump.write_bytes(damage)
        assert f"opportunity.dump: {told}" in await company.run("backup", "--verify", str(backup), code=1)
        assert f"opportunity.dump: {told}" in await other.run("restore", str(backup), code=1)
    dump.write_bytes(content)
    (backup / "more").touch()
    assert "more: not in SHA256SUMS" in await other.run("restore", str(backup), code=1)
    assert not other.data.exists()
