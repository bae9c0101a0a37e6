"""Bulk appends by COPY: all or nothing, beside the ordinary ones."""

import asyncio

import pytest

from shared.eventstore.store import EventStore
from shared.eventstore.types import CommandSeenError, VersionConflictError
from tests.shared.eventstore.bank import command, request
from tests.shared.eventstore.conftest import OpenStore
from tests.shared.eventstore.test_append import assert_dense


async def test_requests_may_build_on_each_other(store: EventStore) -> None:
    results = await store.append_bulk(
        [
            request({"account-1": 0}, {"account-1": 2}, command=command("import/1", {"made": 1})),
            request({"account-1": 2, "account-2": 0}, command=command("import/2")),
        ]
    )
    assert [(r.first, r.last, r.versions) for r in results] == [
        (1, 2, {"account-1": 2}),
        (3, 4, {"account-1": 3, "account-2": 1}),
    ]
    record = await store.command("import/1")
    assert record is not None
    assert (record.answer, record.first, record.last) == ({"made": 1}, 1, 2)
    assert await assert_dense(store) == 4


async def test_all_or_nothing(store: EventStore) -> None:
    await store.append_bulk([request({"account-1": 0}, command=command("import/1"))])
    with pytest.raises(VersionConflictError) as conflict:
        await store.append_bulk([request({"account-2": 0}), request({"account-1": 0})])
    assert conflict.value.actual == {"account-1": 1}
    with pytest.raises(VersionConflictError):
        await store.append_bulk([request({"account-2": 0}), request({"account-2": 0})])
    with pytest.raises(CommandSeenError) as seen:
        await store.append_bulk([request({"account-2": 0}), request({"account-3": 0}, command=command("import/1"))])
    assert seen.value.record.last == 1
    assert await assert_dense(store) == 1


async def test_an_import_beside_other_writers(open_store: OpenStore) -> None:
    importing, serving = await open_store(), await open_store()

    async def bulk(n: int) -> None:
        chunk = [request({f"account-b{n}x{i}": 0}, {f"account-b{n}x{i}": 5}) for i in range(100)]
        await importing.append_bulk(chunk)

    await asyncio.gather(
        *(bulk(n) for n in range(4)),
        *(serving.append(request({f"account-{n}": 0})) for n in range(200)),
        *(importing.append(request({f"account-i{n}": 0})) for n in range(200)),
    )
    assert await assert_dense(serving) == 4 * 500 + 400
