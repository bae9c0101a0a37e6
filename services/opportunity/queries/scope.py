"""Whose records a person may see, by who belongs to which team and who leads it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.projections.organisation import membership, team
from shared.service.visibility import Scope


async def scope_of(connection: AsyncConnection, person_id: str, now: datetime) -> Scope:
    """Whose records a person may see: the person's own, those of the teams they belong to, and of all below teams they lead."""
    holds = (membership.c.person_id == person_id, membership.c.valid_from <= now, membership.c.valid_to > now)
    rows = (await connection.execute(select(membership.c.team_id, membership.c.role).where(*holds))).all()
    led = [row.team_id for row in rows if row.role == "manager"]
    led_teams = await _ids(connection, subtree(team, "team_id", "parent_team_id", led))
    staff = select(membership.c.person_id).where(
        membership.c.team_id.in_(led_teams), membership.c.valid_from <= now, membership.c.valid_to > now
    )
    return Scope(
        False,
        frozenset({person_id, *await _ids(connection, staff)}),
        frozenset({*led_teams, *(row.team_id for row in rows)}),
    )


async def teams_led(connection: AsyncConnection, person_id: str, now: datetime) -> frozenset[str]:
    """The teams that a person leads now, without those below them."""
    leads = (membership.c.person_id == person_id, membership.c.role == "manager")
    holds = (membership.c.valid_from <= now, membership.c.valid_to > now)
    return frozenset(await _ids(connection, select(membership.c.team_id).where(*leads, *holds)))


async def led_teams(connection: AsyncConnection, person_id: str, now: datetime) -> frozenset[str]:
    """The teams that a person leads now, and all below them."""
    led = await teams_led(connection, person_id, now)
    return frozenset(await _ids(connection, subtree(team, "team_id", "parent_team_id", led)))


async def teams_below(connection: AsyncConnection, team_id: str) -> tuple[str, ...]:
    """The team and all teams below it; none when there is no such team."""
    return tuple(sorted(await _ids(connection, subtree(team, "team_id", "parent_team_id", [team_id]))))


def subtree(table: Table, id_column: str, parent_column: str, tops: Iterable[str]) -> Select[Any]:
    """The ids of these nodes and of everything below them."""
    below = select(table.c[id_column].label("id")).where(table.c[id_column].in_(sorted(tops))).cte(recursive=True)
    # UNION, not UNION ALL: it ends even if late facts should make a ring of parents.
    below = below.union(select(table.c[id_column]).where(table.c[parent_column] == below.c.id))
    return select(below.c.id)


async def _ids(connection: AsyncConnection, statement: Select[Any]) -> list[str]:
    return [str(value) for value in (await connection.execute(statement)).scalars()]
