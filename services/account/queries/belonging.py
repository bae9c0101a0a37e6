"""Who belonged where, who led, and whose records a login may therefore see."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, FromClause, RowMapping, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.account.domain.periods import FOREVER
from services.account.projections.organisation import person, team, team_period
from services.account.queries.trees import TEAMS
from shared.service.visibility import NOTHING, Scope


def held(as_of: datetime, known_at: datetime | None = None) -> ColumnElement[bool]:
    """Periods of a role that cover `as_of`, by what was known at `known_at`; None: by all that is known."""
    period = team_period.c
    known = period.known_to == FOREVER
    if known_at is not None:
        known = and_(period.known_from <= known_at, period.known_to > known_at)
    return and_(period.valid_from <= as_of, period.valid_to > as_of, known)


def people_of(team_id: str, role: str, as_of: datetime, known_at: datetime | None) -> FromClause:
    """Columns `id`, `name`, `names`, `since`, `until`: who had the role in the team."""
    return (
        select(
            person.c.id,
            person.c.name,
            person.c.names,
            team_period.c.valid_from.label("since"),
            team_period.c.valid_to.label("until"),
        )
        .join(team_period, team_period.c.person_id == person.c.id)
        .where(team_period.c.team_id == team_id, team_period.c.role == role, held(as_of, known_at))
        .subquery("people")
    )


async def teams_of(connection: AsyncConnection, person_id: str, as_of: datetime) -> Sequence[RowMapping]:
    """`id`, `name`, `names`, `role`, `since` of the person's teams, by name."""
    statement = (
        select(team.c.id, team.c.name, team.c.names, team_period.c.role, team_period.c.valid_from.label("since"))
        .join(team_period, team_period.c.team_id == team.c.id)
        .where(team_period.c.person_id == person_id, held(as_of))
        .order_by(team.c.name, team.c.id, team_period.c.role)
    )
    return (await connection.execute(statement)).mappings().all()


async def of_login(connection: AsyncConnection, subject: str) -> RowMapping | None:
    """The person who logs in so. A login that is handed over can show at two for a moment: the later one counts."""
    statement = select(person).where(person.c.subject == subject).order_by(person.c.updated_at.desc(), person.c.id)
    return (await connection.execute(statement.limit(1))).mappings().first()


async def find_scope(connection: AsyncConnection, subject: str, now: datetime) -> Scope:
    """A member's own teams and self; a manager's teams, all below them, and everybody in them. Who has left sees nothing."""
    who = await of_login(connection, subject)
    if who is None:
        return NOTHING
    if who["left_at"] is not None and who["left_at"] <= now:
        return Scope(False, person_id=who["id"])
    roles = await teams_of(connection, who["id"], now)
    own = {row["id"] for row in roles}
    led = [row["id"] for row in roles if row["role"] == "manager"]
    teams, people = own, {who["id"]}
    if led:
        below = TEAMS.below(team.c.id.in_(led))
        teams = own | set((await connection.execute(select(below.c.id))).scalars())
        there = select(team_period.c.person_id).join(below, below.c.id == team_period.c.team_id).where(held(now))
        people |= set((await connection.execute(there)).scalars())
    return Scope(False, frozenset(people), frozenset(teams), who["id"])
