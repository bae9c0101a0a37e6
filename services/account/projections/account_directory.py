"""Accounts as they are: the tree by `parent_id`, external ids, and the text that searches look through.

A row depends on its own account's stream alone; paths are walked when they are asked for.
"""

from typing import Any

from sqlalchemy import Column, DateTime, Index, Integer, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from shared.contracts.account import (
    CONTRACT,
    AccountDetailsChanged,
    AccountExternalIdLinked,
    AccountFlagged,
    AccountMoved,
    AccountRegistered,
    AccountRenamed,
)
from shared.contracts.event import Recorded
from shared.kit.search import searchable
from shared.projections.definition import Projection, Row, Rows

account_directory = Projection("account_directory", sources=[CONTRACT])

account = account_directory.table(
    "account",
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("names", JSONB, nullable=False),
    Column("industry", Text),
    Column("unified_social_credit_code", Text, index=True),
    Column("attributes", JSONB, nullable=False),
    Column("parent_id", UUID(as_uuid=False), index=True),
    Column("flags", ARRAY(Text), nullable=False),
    Column("external_ids", JSONB, nullable=False),
    Column("search", Text, nullable=False),
    Column("registered_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("account_external_ids", "external_ids", postgresql_using="gin"),
)


def _put(rows: Rows, e: Recorded[Any], row: Row) -> None:
    texts = [row["name"], *row["names"].values(), *row["external_ids"].values(), row["unified_social_credit_code"]]
    seen = {"version": e.version, "updated_at": e.recorded_at, "search": searchable(texts)}
    rows.put(account, row | seen)


def _present(rows: Rows, e: Recorded[Any]) -> Row:
    return rows.of(account, e.entity_id)[0]


@account_directory.on(AccountRegistered)
def registered(rows: Rows, e: Recorded[AccountRegistered]) -> None:
    known = {"id": e.entity_id, "flags": [], "external_ids": {}, "registered_at": e.occurred_at}
    _put(rows, e, e.event.model_dump() | known)


@account_directory.on(AccountRenamed, AccountDetailsChanged, AccountMoved)
def changed(rows: Rows, e: Recorded[AccountRenamed | AccountDetailsChanged | AccountMoved]) -> None:
    _put(rows, e, _present(rows, e) | e.event.model_dump())


@account_directory.on(AccountFlagged)
def flagged(rows: Rows, e: Recorded[AccountFlagged]) -> None:
    _put(rows, e, _present(rows, e) | {"flags": list(e.event.flags)})


@account_directory.on(AccountExternalIdLinked)
def linked(rows: Rows, e: Recorded[AccountExternalIdLinked]) -> None:
    row = _present(rows, e)
    _put(rows, e, row | {"external_ids": row["external_ids"] | {e.event.system: e.event.external_id}})
