"""API keys as every service knows them: a read model of its own, so that a key is checked wherever it is shown, also while the
account service is away."""

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, DateTime, Integer, Text, select
from sqlalchemy.dialects.postgresql import JSONB, UUID

from shared.contracts.account import CONTRACT, ApiKeyIssued, ApiKeyRevoked, ApiKeyRotated
from shared.contracts.event import Recorded
from shared.projections.definition import Projection, Row, Rows
from shared.projections.reads import ReadModels
from shared.service.remembered import Remembered

api_keys = Projection("api_keys", sources=[CONTRACT])

api_key = api_keys.table(
    "api_key",
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("roles", JSONB, nullable=False),
    Column("scopes", JSONB, nullable=False),
    Column("secrets", JSONB, nullable=False),  # newest last: number, sha256, until (null: as long as the key)
    Column("issued_at", DateTime(timezone=True), nullable=False),
    Column("issued_by", Text, nullable=False),
    Column("rotated_at", DateTime(timezone=True)),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
    Column("revoked_by", Text),
    Column("revoked_reason", Text),
)
MOST_SECRETS = 12  # older ones are good no more, and whoever holds one is told no more than a stranger


@api_keys.on(ApiKeyIssued)
def issued(rows: Rows, e: Recorded[ApiKeyIssued]) -> None:
    row = {
        "id": e.entity_id,
        "version": e.version,
        "name": e.event.name,
        "roles": list(e.event.roles),
        "scopes": list(e.event.scopes),
        "secrets": [{"number": 1, "sha256": e.event.secret_sha256, "until": None}],
        "issued_at": e.occurred_at,
        "issued_by": e.actor,
        "expires_at": e.event.expires_at,
    }
    rows.put(api_key, row)


@api_keys.on(ApiKeyRotated)
def rotated(rows: Rows, e: Recorded[ApiKeyRotated]) -> None:
    row = _row(rows, e)
    older = [one | {"until": _earlier(one["until"], e.event.older_until)} for one in row["secrets"]]
    newest = {"number": older[-1]["number"] + 1, "sha256": e.event.secret_sha256, "until": None}
    changed = {"rotated_at": e.occurred_at, "expires_at": e.event.expires_at}
    rows.put(api_key, row | changed | {"secrets": [*older, newest][-MOST_SECRETS:]})


@api_keys.on(ApiKeyRevoked)
def revoked(rows: Rows, e: Recorded[ApiKeyRevoked]) -> None:
    changed = {"revoked_at": e.occurred_at, "revoked_by": e.actor, "revoked_reason": e.event.reason}
    rows.put(api_key, _row(rows, e) | changed)


def _row(rows: Rows, e: Recorded[Any]) -> Row:
    return rows.of(api_key, e.entity_id)[0] | {"version": e.version}


def _earlier(until: str | None, other: datetime) -> str:
    if until is None:
        return other.isoformat()
    return min(datetime.fromisoformat(until), other).isoformat()


@dataclass(frozen=True, slots=True)
class Secret:
    """`number` counts the secrets of a key from 1; `until`: None for as long as the key is good."""

    number: int
    digest: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key, whether or not it is still good."""

    key_id: str
    name: str
    roles: frozenset[str]
    scopes: frozenset[str]
    secrets: Sequence[Secret]
    expires_at: datetime
    revoked_at: datetime | None

    def holding(self, digest: str) -> Secret | None:
        """The secret that has this digest. Compared with all of them, in a time that does not tell how much of one was right."""
        found = [one for one in self.secrets if hmac.compare_digest(one.digest, digest)]
        return found[-1] if found else None


class ApiKeys:
    """The keys that a service's read model has, each remembered for a second: a busy key costs no query for each request, and one
    that was revoked is good for no longer than that after the read model has it."""

    def __init__(self, reads: ReadModels, projections: Sequence[Projection]) -> None:
        self._reads = reads
        self._known = api_keys in projections
        self._kept: Remembered[KnownKey | None] = Remembered()
        self._strange = asyncio.Semaphore(1)

    async def find(self, key_id: str) -> KnownKey | None:
        """None: there is no such key, or this service does not take any. Raises NotBuiltError."""
        return await self._kept.of(key_id, lambda: self._look(key_id)) if self._known else None

    async def _look(self, key_id: str) -> KnownKey | None:
        """Keys that nobody has yet been seen with are looked up one after the other: who invents them gets one connection only."""
        if self._kept.last(key_id) is not None:
            return await self._ask(key_id)
        async with self._strange:
            return await self._ask(key_id)

    async def _ask(self, key_id: str) -> KnownKey | None:
        async with self._reads.connect(api_keys) as connection:
            row = (await connection.execute(select(api_key).where(api_key.c.id == key_id))).mappings().first()
        return None if row is None else known_key(dict(row))


def known_key(row: Row) -> KnownKey:
    return KnownKey(
        row["id"],
        row["name"],
        frozenset(row["roles"]),
        frozenset(row["scopes"]),
        tuple(secret_of(one) for one in row["secrets"]),
        row["expires_at"],
        row["revoked_at"],
    )


def secret_of(kept: dict[str, Any]) -> Secret:
    until = kept["until"]
    return Secret(kept["number"], kept["sha256"], None if until is None else datetime.fromisoformat(until))
