"""What a restore that breaks off leaves: what was there."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from services.backup.restore import Kept, put_kept, swap_databases

Admin = asyncpg.Connection


@pytest_asyncio.fixture(loop_scope="session")
async def admin(postgres: str) -> AsyncIterator[Admin]:
    connection = await asyncpg.connect(postgres)
    yield connection
    await connection.close()


@pytest_asyncio.fixture(loop_scope="session")
async def names(admin: Admin) -> AsyncIterator[list[str]]:
    names = [f"swap_{uuid4().hex}" for _ in range(2)]
    yield names
    for name in names:
        for suffix in ("", "_restoring", "_replaced"):
            await admin.execute(f"DROP DATABASE IF EXISTS {name}{suffix} WITH (FORCE)")


async def there(admin: Admin, names: list[str]) -> dict[str, int]:
    rows = await admin.fetch(
        "SELECT datname, oid::int FROM pg_database WHERE datname LIKE ANY($1::text[])", [f"{name}%" for name in names]
    )
    return {row["datname"]: row["oid"] for row in rows}


async def test_all_databases_are_swapped_or_none(admin: Admin, names: list[str], postgres: str) -> None:
    first, second = names
    for name in (first, second, f"{first}_restoring"):
        await admin.execute(f"CREATE DATABASE {name}")
    before = await there(admin, names)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await swap_databases(admin, names)
    assert await there(admin, names) == before
    url = urlsplit(postgres)._replace(path=f"/{first}").geturl()
    user = await asyncpg.connect(url)  # it may be used as before; and who does is sent away
    await admin.execute(f"CREATE DATABASE {second}_restoring")
    before = await there(admin, names)
    await swap_databases(admin, names)
    assert await there(admin, names) == {name: before[f"{name}_restoring"] for name in names} | {
        f"{name}_replaced": before[name] for name in names
    }
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await user.fetchval("SELECT 1")
    await user.close()


def test_a_secret_that_is_replaced_stays_beside_the_new_one(tmp_path: Path) -> None:
    source, target = tmp_path / "backup", tmp_path / "data" / "secret"
    source.write_bytes(b"of the backup")
    put_kept(Kept(source, target, replaces=False))
    assert [one.name for one in target.parent.iterdir()] == ["secret"]
    target.write_bytes(b"another")
    put_kept(Kept(source, target, replaces=True))
    assert target.read_bytes() == b"of the backup"
    assert target.with_name("secret.replaced").read_bytes() == b"another"
    assert target.stat().st_mode & 0o777 == 0o600
