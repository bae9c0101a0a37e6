"""The read model of API keys, and when they were last used."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.account import ApiKeyIssued, ApiKeyRevoked, ApiKeyRotated
from shared.service.api_keys import MOST_SECRETS, api_keys, known_key
from shared.service.backend import open_engine
from shared.service.key_uses import KeyUse, KeyUses, migrate_key_uses, uses
from shared.testing.given import START, history
from shared.testing.projections import fold_all, shuffled

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
END = START + 90 * DAY
ERP, BI, OLD = (f"0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3{n}" for n in "def")


def issued(secret: str) -> ApiKeyIssued:
    return ApiKeyIssued(
        name="ERP", secret_sha256=secret * 64, roles=("integration",), scopes=("account:read",), expires_at=END
    )


def rotated(secret: str, until: datetime, expires_at: datetime = END) -> ApiKeyRotated:
    return ApiKeyRotated(secret_sha256=secret * 64, older_until=until, expires_at=expires_at)


FACTS = [
    *history(
        "api_key",
        [
            issued("a"),
            rotated("b", START + 3 * DAY),
            rotated("c", START + 2 * DAY, END + DAY),
            rotated("f", START + 5 * DAY, END + DAY),
        ],
        entity_id=ERP,
    ),
    *history("api_key", [issued("d"), ApiKeyRevoked(reason="lost"), rotated("e", START)], entity_id=BI, actor="mei"),
    *history("api_key", [issued("0"), *(rotated(f"{n:x}", START) for n in range(1, 15))], entity_id=OLD),
]


async def test_keys_are_what_their_facts_made_of_them(database: str) -> None:
    whole = await fold_all(database, api_keys, FACTS)
    for seed in range(2):
        assert await fold_all(database, api_keys, shuffled(FACTS, seed), batch=seed + 1) == whole
    rows = {row["id"]: row for row in whole["api_key"]}
    erp = known_key(rows[ERP])
    assert (set(erp.roles), set(erp.scopes), erp.expires_at) == ({"integration"}, {"account:read"}, END + DAY)
    until = START + 2 * DAY  # a later rotation may end earlier what another had left, never prolong it
    assert [(one.number, one.digest[0], one.until) for one in erp.secrets] == [
        (1, "a", until),
        (2, "b", until),
        (3, "c", START + 5 * DAY),
        (4, "f", None),
    ]
    assert (rows[ERP]["issued_by"], rows[ERP]["rotated_at"], rows[ERP]["version"]) == ("tester", START + 3 * HOUR, 4)
    assert (rows[BI]["revoked_at"], rows[BI]["revoked_reason"], rows[BI]["revoked_by"]) == (START + HOUR, "lost", "mei")
    numbers = [one["number"] for one in rows[OLD]["secrets"]]
    assert numbers == list(range(16 - MOST_SECRETS, 16))


def test_a_key_is_held_by_whoever_has_one_of_its_secrets() -> None:
    row = {"id": ERP, "name": "ERP", "roles": [], "scopes": [], "expires_at": END, "revoked_at": None, "secrets": [
        {"number": 1, "sha256": "a" * 64, "until": START.isoformat()}, {"number": 2, "sha256": "b" * 64, "until": None},
    ]}  # fmt: skip
    held = [known_key(row).holding(letter * 64) for letter in "abc"]
    assert [one and (one.number, one.until) for one in held] == [(1, START), (2, None), None]


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    made = open_engine(database, 2)
    await migrate_key_uses(made)
    await migrate_key_uses(made)
    yield made
    await made.dispose()


async def kept(engine: AsyncEngine, *keys: str) -> list[KeyUse]:
    async with engine.connect() as connection:
        return await uses(connection, keys or None)


NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


async def test_the_latest_use_stays_whichever_process_writes_last(engine: AsyncEngine) -> None:
    one, other = KeyUses(engine), KeyUses(engine)
    one.note(KeyUse(ERP, 1, NOW))
    one.note(KeyUse(ERP, 1, NOW - HOUR))
    one.note(KeyUse(ERP, 2, NOW))
    other.note(KeyUse(ERP, 1, NOW - DAY))
    other.note(KeyUse(BI, 1, NOW + HOUR))
    await one.close()
    await other.close()
    assert await kept(engine) == [KeyUse(ERP, 1, NOW), KeyUse(ERP, 2, NOW), KeyUse(BI, 1, NOW + HOUR)]
    assert await kept(engine, BI) == [KeyUse(BI, 1, NOW + HOUR)]


async def test_the_first_use_is_written_at_once_and_further_ones_later_or_at_the_end(engine: AsyncEngine) -> None:
    noting = KeyUses(engine, every_seconds=3_600)
    noting.note(KeyUse(ERP, 1, NOW))
    while not await kept(engine):
        await asyncio.wait_for(asyncio.shield(noting._writing or asyncio.sleep(0)), 10)
    noting.note(KeyUse(ERP, 1, NOW + HOUR))
    await asyncio.sleep(0)
    assert await kept(engine) == [KeyUse(ERP, 1, NOW)]
    await noting.close()
    assert await kept(engine) == [KeyUse(ERP, 1, NOW + HOUR)]


async def test_what_cannot_be_written_waits_and_stops_nobody(engine: AsyncEngine) -> None:
    noting = KeyUses(engine)
    noting.note(KeyUse(ERP, 1, NOW))
    async with engine.begin() as connection:
        await connection.exec_driver_sql("ALTER SCHEMA api_key_uses RENAME TO away")
    await noting.close()
    async with engine.begin() as connection:
        await connection.exec_driver_sql("ALTER SCHEMA away RENAME TO api_key_uses")
    await noting.flush()
    assert await kept(engine) == [KeyUse(ERP, 1, NOW)]
