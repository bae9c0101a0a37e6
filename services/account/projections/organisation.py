"""Our people and teams, and who belonged where: periods in business time, as known at any moment.

`team_change` keeps what the events of a team say about its people; `team_period` what follows from them: a person had a role
from `valid_from` to `valid_to`, as known from `known_from` to `known_to`. A late fact recomputes the periods of its own
(short) stream: what it contradicts is closed in `known_to`, never deleted.
"""

from typing import Any

from sqlalchemy import Boolean, Column, DateTime, Index, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from services.account.domain.periods import FOREVER, Change, Period, change_of, periods
from shared.contracts.account import (
    CONTRACT,
    ManagerAppointed,
    ManagerRelieved,
    PersonChanged,
    PersonExternalIdLinked,
    PersonJoined,
    PersonLeft,
    PersonReturned,
    TeamExternalIdLinked,
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

person = organisation.table(
    "person",
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("names", JSONB, nullable=False),
    Column("email", Text),
    Column("subject", Text, index=True),
    Column("external_ids", JSONB, nullable=False),
    Column("search", Text, nullable=False),
    Column("joined_at", DateTime(timezone=True), nullable=False),
    Column("left_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("person_external_ids", "external_ids", postgresql_using="gin"),
)

team = organisation.table(
    "team",
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("names", JSONB, nullable=False),
    Column("parent_team_id", UUID(as_uuid=False), index=True),
    Column("external_ids", JSONB, nullable=False),
    Column("search", Text, nullable=False),
    Column("formed_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("team_external_ids", "external_ids", postgresql_using="gin"),
)

team_change = organisation.table(
    "team_change",
    Column("team_id", UUID(as_uuid=False), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("role", Text, nullable=False),
    Column("person_id", UUID(as_uuid=False), nullable=False),
    Column("begins", Boolean, nullable=False),
)

team_period = organisation.table(
    "team_period",
    Column("team_id", UUID(as_uuid=False), primary_key=True),
    Column("role", Text, primary_key=True),
    Column("person_id", UUID(as_uuid=False), primary_key=True, index=True),
    Column("valid_from", DateTime(timezone=True), primary_key=True),
    Column("known_from", DateTime(timezone=True), primary_key=True),
    Column("valid_to", DateTime(timezone=True), nullable=False),
    Column("known_to", DateTime(timezone=True), nullable=False),
)


def _put_person(rows: Rows, e: Recorded[Any], row: Row) -> None:
    texts = [row["name"], *row["names"].values(), *row["external_ids"].values(), row["email"]]
    rows.put(person, row | {"version": e.version, "updated_at": e.recorded_at, "search": searchable(texts)})


def _put_team(rows: Rows, e: Recorded[Any], row: Row) -> None:
    texts = [row["name"], *row["names"].values(), *row["external_ids"].values()]
    rows.put(team, row | {"version": e.version, "updated_at": e.recorded_at, "search": searchable(texts)})


@organisation.on(PersonJoined)
def person_joined(rows: Rows, e: Recorded[PersonJoined]) -> None:
    known = {"id": e.entity_id, "external_ids": {}, "joined_at": e.occurred_at, "left_at": None}
    _put_person(rows, e, e.event.model_dump() | known)


@organisation.on(PersonChanged)
def person_changed(rows: Rows, e: Recorded[PersonChanged]) -> None:
    _put_person(rows, e, rows.of(person, e.entity_id)[0] | e.event.model_dump())


@organisation.on(PersonLeft, PersonReturned)
def person_left_or_returned(rows: Rows, e: Recorded[PersonLeft | PersonReturned]) -> None:
    left_at = e.occurred_at if isinstance(e.event, PersonLeft) else None
    _put_person(rows, e, rows.of(person, e.entity_id)[0] | {"left_at": left_at})


@organisation.on(PersonExternalIdLinked)
def person_linked(rows: Rows, e: Recorded[PersonExternalIdLinked]) -> None:
    row = rows.of(person, e.entity_id)[0]
    _put_person(rows, e, row | {"external_ids": row["external_ids"] | {e.event.system: e.event.external_id}})


@organisation.on(TeamFormed)
def team_formed(rows: Rows, e: Recorded[TeamFormed]) -> None:
    known = {"id": e.entity_id, "external_ids": {}, "formed_at": e.occurred_at}
    _put_team(rows, e, e.event.model_dump() | known)


@organisation.on(TeamRenamed, TeamMoved)
def team_changed(rows: Rows, e: Recorded[TeamRenamed | TeamMoved]) -> None:
    _put_team(rows, e, rows.of(team, e.entity_id)[0] | e.event.model_dump())


@organisation.on(TeamExternalIdLinked)
def team_linked(rows: Rows, e: Recorded[TeamExternalIdLinked]) -> None:
    row = rows.of(team, e.entity_id)[0]
    _put_team(rows, e, row | {"external_ids": row["external_ids"] | {e.event.system: e.event.external_id}})


@organisation.on(ManagerAppointed, ManagerRelieved, TeamMemberJoined, TeamMemberLeft)
def team_people_changed(rows: Rows, e: Recorded[Any]) -> None:
    _put_team(rows, e, rows.of(team, e.entity_id)[0])
    change = change_of(e)
    if change is None:
        raise TypeError(f"{type(e.event).__name__} says nothing about a team's people")
    said = {"at": change.at, "role": change.role, "person_id": change.person_id, "begins": change.begins}
    rows.put(team_change, {"team_id": e.entity_id, "version": e.version, **said})
    _revise(rows, e)


def _revise(rows: Rows, e: Recorded[Any]) -> None:
    """Bring the periods that are known now in line with all changes of the team."""
    changes = rows.of(team_change, e.entity_id)
    wanted = set(periods(Change(c["at"], c["version"], c["role"], c["person_id"], c["begins"]) for c in changes))
    known = [row for row in rows.of(team_period, e.entity_id) if row["known_to"] == FOREVER]
    present = {Period(row["role"], row["person_id"], row["valid_from"], row["valid_to"]): row for row in known}
    for period in sorted(present.keys() - wanted):
        row = present[period]
        key = [row[column.name] for column in team_period.primary_key]
        if row["known_from"] == e.recorded_at:
            rows.delete(team_period, *key)  # believed and taken back in one command: nobody ever knew it
        else:
            rows.put(team_period, row | {"known_to": e.recorded_at})
    for period in sorted(wanted - present.keys()):
        span = {"valid_from": period.since, "valid_to": period.until}
        known_span = {"known_from": e.recorded_at, "known_to": FOREVER}
        who = {"team_id": e.entity_id, "role": period.role, "person_id": period.person_id}
        rows.put(team_period, who | span | known_span)
