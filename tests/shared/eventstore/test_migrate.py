"""Migrations of the store, and errors that must survive the way up."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest

from shared.contracts.refusal import refuse
from shared.eventstore.migrate import migrate_store
from shared.eventstore.types import (
    CommandSeenError,
    IdempotencyMismatchError,
    StaleVersionError,
    VersionConflictError,
)
from tests.shared.eventstore.bank import command


async def test_several_processes_may_migrate_at_once(database: str) -> None:
    await asyncio.gather(*(migrate_store(database) for _ in range(3)))
    await migrate_store(database)
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM store.head") == 1
        assert await connection.fetchval("SELECT version_num FROM store.migration") == "0003"
    finally:
        await connection.close()


@contextmanager
def _around() -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    "error",
    [
        VersionConflictError({"a": 1}),
        CommandSeenError(command("a/1")),
        StaleVersionError(1, 2),
        IdempotencyMismatchError("a/1"),
        refuse("code", "message"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pass_through_context_managers(error: Exception) -> None:
    """Python writes to an exception there: a frozen one would come out as another error."""
    with pytest.raises(type(error)), _around():
        raise error
