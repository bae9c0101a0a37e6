"""The book of gates over HTTP, page by page; and how it is kept in memory."""

from dataclasses import replace
from typing import Any

import httpx

from services.opportunity.domain.gates.book import GateBook
from services.opportunity.projections.gates import gates
from services.opportunity.queries import gates as queries
from services.opportunity.queries.gates import read_book
from tests.services.opportunity.api.house import House, done, got, refused
from tests.services.opportunity.api.test_gates import gated, rule


async def paged(client: httpx.AsyncClient, path: str, **asked: Any) -> list[Any]:
    """All items, one on a page, not more than a few."""
    found: list[Any] = []
    cursor: dict[str, str] = {}
    for _ in range(40):
        page = await got(client, path, limit=1, **asked, **cursor)
        assert len(page["items"]) <= 1
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}
    raise AssertionError("it does not end")


async def test_every_list_is_turned_page_by_page(house: House) -> None:
    async with house.client() as client:
        key, _ = await gated(house, client)
        for mode in ("stop", "control"):
            await done(client, f"/gates/{key}/versions", {"rule": rule(key, mode=mode)}, status=201)
        for path, asked in (
            ("/gates", {"force": "in_force", "mode": "warn"}),
            (f"/gates/{key}/versions", {}),
            (f"/gates/{key}/retirements", {}),
            ("/authority", {}),
            ("/gates/effectiveness", {"gate": key}),
        ):
            assert await paged(client, path, **asked) == (await got(client, path, **asked))["items"]
        versions = await paged(client, f"/gates/{key}/versions")
        told = await paged(client, "/gates/effectiveness", gate=key)
        assert [one["version"] for one in versions] == [3, 2, 1]
        assert [one["version"] for one in told] == [1, 2, 3]
        other = (await got(client, "/gates", limit=1))["next_cursor"]
        await refused(await client.get("/gates", params={"cursor": other, "mode": "warn"}), 400, "bad_cursor")


async def test_the_book_is_read_once_and_then_only_what_is_new(house: House) -> None:
    async with house.client() as client:
        key, _ = await gated(house, client)
        reads = house.service.backend.reads
        async with reads.connect(gates) as connection:
            first = await read_book(connection)
            assert await read_book(connection) is first
        await done(client, f"/gates/{key}/retirement", {"reason": "The test is over"})
        assert (await got(client, f"/gates/{key}"))["in_force"] is None
        async with reads.connect(gates) as connection:
            later = await read_book(connection)
            assert (later.version, later.gates[key][0]) == (first.version + 1, first.gates[key][0])
            assert later.gates[key][0] is first.gates[key][0]
            assert later.last is not None
            astray = replace(later, last=replace(later.last, actor="somebody"), book=GateBook())
            queries._kept[connection.engine.sync_engine] = astray  # of a database that was put back
            assert (await read_book(connection)).book == later.book
