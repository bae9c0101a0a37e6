"""Honest waiting: a read that brings the token of a write shows that write or says that it cannot yet; it never shows less."""

import asyncio
from dataclasses import dataclass

import httpx

from tests.faults.chaos import PATIENCE, Chaos
from tests.faults.checker import ViolationError
from tests.faults.installation import Town

FUTURE = ",".join(f"opportunity/{partition}@999999999" for partition in range(12))
NEWEST_FIRST = {"order": "-recorded", "limit": "200"}


@dataclass
class Reader:
    """`path`: of the opportunity that is written to."""

    client: httpx.AsyncClient
    chaos: Chaos
    path: str
    written: int = 0

    async def write(self) -> tuple[str, str]:
        """What was written, and the token of it."""
        self.written += 1
        text = f"remark {self.written}."
        answer = await self.client.post(f"{self.path}/comments", json={"text": text})
        assert answer.status_code == 200, answer.text
        self.chaos.acks += 1
        return text, answer.headers["Keyfold-Position"]

    async def shows(self, text: str, token: str) -> bool:
        """False for an honest 503."""
        answer = await self.client.get(f"{self.path}/history", params=NEWEST_FIRST, headers={"Keyfold-Position": token})
        self.chaos.checked += 1
        if answer.status_code == 503 and answer.json()["code"] == "not_yet_visible":
            return False
        if answer.status_code != 200:
            raise ViolationError("a read answers, or says that it cannot yet", f"{answer.status_code} {answer.text}")
        if text not in answer.text:
            raise ViolationError(
                "a token is never answered with less", f"{text!r} at {token} is missing: {answer.text}"
            )
        return True


async def test_a_read_with_a_token_never_shows_less(town: Town, chaos: Chaos) -> None:
    port = await town.serve()
    async with town.client(port) as client:
        opened = await client.post("/opportunities", json={"name": "Substation"})
        assert opened.status_code == 201, opened.text
        reader = Reader(client, chaos, f"/opportunities/{opened.json()['id']}")
        text, token = await reader.write()
        if await reader.shows(text, token):
            raise ViolationError("503 when it cannot be had", "no worker was ever started, yet it is shown")
        worker = await town.work()
        await _until_shown(town, reader, text, token)
        later, its_token = text, token
        for _ in range(chaos.strength):
            dies_at = chaos.dice.randrange(3, 12)
            for n in range(20):  # the worker dies in between; until it is back the reads say so
                if n == dies_at:
                    chaos.kill(worker)
                text, token = await reader.write()
                await reader.shows(text, token)
            worker = await town.work()
            await _until_shown(town, reader, text, token)
            worker.freeze()
            later, its_token = await reader.write()
            if await reader.shows(later, its_token):
                raise ViolationError("503 when it cannot be had", "its worker is frozen, yet it is shown")
            worker.thaw()
            await _until_shown(town, reader, later, its_token)
        if not await reader.shows(later, its_token):
            raise ViolationError("what is there is shown", "a worker with nothing to do is no reason to refuse")
        await worker.stop()
        text, token = await reader.write()
        if await reader.shows(text, token):
            raise ViolationError("503 when it cannot be had", "its worker was stopped, yet it is shown")
        if not await reader.shows(later, its_token):
            raise ViolationError("what is there is shown", "no worker is needed for what was applied long ago")
        invented = await client.get(f"{reader.path}/history", headers={"Keyfold-Position": FUTURE})
        if invented.status_code not in (400, 503):
            raise ViolationError("a token is never answered with less", f"one of nobody's was: {invented.status_code}")


async def _until_shown(town: Town, reader: Reader, text: str, token: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await reader.shows(text, token):
            await town.processes.bell.wait(0.1)
