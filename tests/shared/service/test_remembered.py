"""What is remembered for a moment: those asked for last."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.service import remembered
from shared.service.api_keys import ApiKeys, api_keys
from shared.service.remembered import Remembered


async def test_what_is_asked_for_stays_while_strangers_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MOST", 3)
    kept: Remembered[str] = Remembered()
    looked: list[str] = []

    async def ask(name: str) -> str:
        async def look() -> str:
            looked.append(name)
            return name

        return await kept.of(name, look)

    for stranger in range(10):
        assert await ask("known") == "known"
        await ask(str(stranger))
    assert looked.count("known") == 1
    assert kept.last("0") is None
    assert kept.last("9") == "9"


class _Reads:
    """Connections, counted; none has a row."""

    def __init__(self) -> None:
        self.open = self.most = 0

    @asynccontextmanager
    async def connect(self, _: object) -> Any:
        self.open += 1
        self.most = max(self.most, self.open)
        for _turn in range(3):
            await asyncio.sleep(0)
        yield self
        self.open -= 1

    async def execute(self, _: object) -> Any:
        return self

    def mappings(self) -> Any:
        return self

    def first(self) -> None:
        return None


async def test_keys_that_nobody_knows_take_one_connection() -> None:
    reads = _Reads()
    keys = ApiKeys(reads, [api_keys])  # type: ignore[arg-type]
    assert set(await asyncio.gather(*(keys.find(str(n)) for n in range(20)))) == {None}
    assert reads.most == 1
