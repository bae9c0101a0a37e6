"""The opportunity service's own copy of who and what: accounts and their parents, people, teams over time, products.

Copied from the account service's events and joined when queried; the account service is never called.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, String, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from services.opportunity.projections.membership_periods import periods
from shared.contracts.account import (
    CONTRACT,
    AccountMoved,
    AccountRegistered,
    AccountRenamed,
    ManagerAppointed,
    ManagerRelieved,
    PersonChanged,
    PersonJoined,
    PersonLeft,
    PersonReturned,
    ProductChanged,
    ProductListed,
    ProductRelisted,
    ProductRetired,
    TeamFormed,
    TeamMemberJoined,
    TeamMemberLeft,
    TeamMoved,
    TeamRenamed,
)
from shared.contracts.event import Recorded
from shared.kit.search import searchable
from shared.projections.definition import Projection, Row, Rows

organisation = Projection("organisation", sources=[CONTRACT])


def _named(*columns: Column[Any]) -> tuple[Column[Any], ...]:
    return (
        *columns,
        Column("name", Text, nullable=False),
        Column("names", JSONB, nullable=False),
        Column("search", Text, nullable=False),
    )


account = organisation.table(
    "account",
    *_named(Column("account_id", UUID(as_uuid=False), primary_key=True)),
    Column("parent_id", UUID(as_uuid=False), index=True),
)
person = organisation.table(
    "person",
    *_named(Column("person_id", UUID(as_uuid=False), primary_key=True)),
    Column("subject", Text, index=True),
    Column("active", Boolean, nullable=False),
)
team = organisation.table(
    "team",
    *_named(Column("team_id", UUID(as_uuid=False), primary_key=True)),
    Column("parent_team_id", UUID(as_uuid=False)),
)
product = organisation.table(
    "product",
    *_named(Column("product_id", UUID(as_uuid=False), primary_key=True)),
    Column("series", Text),
    Column("price_minor", BigInteger),
    Column("currency", String(3)),
    Column("retired", Boolean, nullable=False),
)
team_change = organisation.table(
    "team_change",
    Column("team_id", UUID(as_uuid=False), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("role", String(10), nullable=False),
    Column("person_id", UUID(as_uuid=False), nullable=False),
    Column("begins", Boolean, nullable=False),
)
membership = organisation.table(
    "membership",
    Column("team_id", UUID(as_uuid=False), primary_key=True),
    Column("role", String(10), primary_key=True),
    Column("person_id", UUID(as_uuid=False), primary_key=True, index=True),
    Column("valid_from", DateTime(timezone=True), primary_key=True),
    Column("valid_to", DateTime(timezone=True), nullable=False),
)


@organisation.on(AccountRegistered, AccountRenamed, AccountMoved)
def account_copied(rows: Rows, e: Recorded[Any]) -> None:
    row = rows.one(account, e.entity_id) or {"account_id": e.entity_id}
    rows.put(account, _found_by_name(row | _taken(e, "name", "names", "parent_id")))


@organisation.on(PersonJoined, PersonChanged, PersonLeft, PersonReturned)
def person_copied(rows: Rows, e: Recorded[Any]) -> None:
    row = {"active": True} | (rows.one(person, e.entity_id) or {"person_id": e.entity_id})
    if isinstance(e.event, PersonLeft | PersonReturned):
        row["active"] = isinstance(e.event, PersonReturned)
    rows.put(person, _found_by_name(row | _taken(e, "name", "names", "subject")))


@organisation.on(TeamFormed, TeamRenamed, TeamMoved)
def team_copied(rows: Rows, e: Recorded[Any]) -> None:
    row = rows.one(team, e.entity_id) or {"team_id": e.entity_id}
    rows.put(team, _found_by_name(row | _taken(e, "name", "names", "parent_team_id")))


@organisation.on(ProductListed, ProductChanged, ProductRetired, ProductRelisted)
def product_copied(rows: Rows, e: Recorded[Any]) -> None:
    row = {"retired": False} | (rows.one(product, e.entity_id) or {"product_id": e.entity_id})
    if isinstance(e.event, ProductListed | ProductChanged):
        price = e.event.list_price
        row |= {"price_minor": price and price.minor, "currency": price and price.currency}
    if isinstance(e.event, ProductRetired | ProductRelisted):
        row["retired"] = isinstance(e.event, ProductRetired)
    rows.put(product, _found_by_name(row | _taken(e, "name", "names", "series")))


@organisation.on(TeamMemberJoined, TeamMemberLeft, ManagerAppointed, ManagerRelieved)
def membership_changed(rows: Rows, e: Recorded[Any]) -> None:
    """Who belonged when follows from the team's changes in order of business time, however late they became known."""
    change = {
        "team_id": e.entity_id,
        "version": e.version,
        "occurred_at": e.occurred_at,
        "role": "manager" if isinstance(e.event, ManagerAppointed | ManagerRelieved) else "member",
        "person_id": e.event.person_id,
        "begins": isinstance(e.event, TeamMemberJoined | ManagerAppointed),
    }
    rows.put(team_change, change)
    for old in rows.of(membership, e.entity_id):
        rows.delete(membership, *(old[column.name] for column in membership.primary_key))
    for row in periods(sorted(rows.of(team_change, e.entity_id), key=lambda r: (r["occurred_at"], r["version"]))):
        rows.put(membership, row)


def _taken(e: Recorded[Any], *fields: str) -> Row:
    """The event's fields that it has; absent fields of its class leave a column as it is."""
    return {name: getattr(e.event, name) for name in fields if name in type(e.event).model_fields}


def _found_by_name(row: Row) -> Row:
    return row | {"search": searchable([row["name"], *row["names"].values()])}
