"""Which opportunities, as they were when, as known when: the part that every question shares."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, FromClause, Select, Table, and_, case, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import Subquery

from services.opportunity.projections.organisation import account, membership, team
from services.opportunity.projections.processes import buying_stage, definition, selling_stage
from services.opportunity.projections.spans import FOREVER
from services.opportunity.projections.timeline import span
from shared.service.visibility import Scope

Belonging = Literal["then", "now"]
OPEN = ("open", "paused")


@dataclass(frozen=True, slots=True)
class Filters:
    """Every field narrows; empty ones do not. `account` includes the account's whole subtree."""

    owner: tuple[str, ...] = ()
    team: tuple[str, ...] = ()
    account: tuple[str, ...] = ()
    process: tuple[str, ...] = ()
    stage: tuple[int, ...] = ()
    state: tuple[str, ...] = ()
    outcome: tuple[str, ...] = ()
    flag: tuple[str, ...] = ()
    q: str = ""
    updated_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A moment on both clocks, whose records may be seen, and which of them are asked for.

    `belonging` says whose an opportunity is when it is grouped or filtered by owner, team or account: of those it belonged to
    *then* (at `as_of`), or of those it belongs to *now*.
    """

    as_of: datetime
    known_at: datetime
    scope: Scope
    filters: Filters = field(default_factory=Filters)
    belonging: Belonging = "then"


def _current(columns: FromClause) -> ColumnElement[bool]:
    return and_(columns.c.known_to == FOREVER, columns.c.valid_to == FOREVER)


def visible(scope: Scope, opportunity_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Record-level visibility, by who owns the opportunity now: who handed a deal over does not keep a window into it."""
    if scope.everything:
        return literal(True)
    now = span.alias("visible_now")
    mine = or_(now.c.owner_id.in_(sorted(scope.people)), now.c.team_id.in_(sorted(scope.teams)))
    return opportunity_id.in_(select(now.c.opportunity_id).where(_current(now), mine))


def seen(view: View) -> Subquery:
    """The opportunities of a view, one row each, with probability range and funnel state from their sales process."""
    belongs: FromClause = span
    source: FromClause = span
    if view.belonging == "now":
        belongs = span.alias("belongs_now")
        source = span.join(belongs, and_(belongs.c.opportunity_id == span.c.opportunity_id, _current(belongs)))
    before, inside = selling_stage.alias("completed"), selling_stage.alias("working")
    source = (
        source.outerjoin(before, _of_process(before, span.c.completed_stage))
        .outerjoin(inside, _of_process(inside, span.c.completed_stage + 1))
        .outerjoin(buying_stage, _of_process(buying_stage, span.c.buying_stage))
        .outerjoin(definition, of_definition(span))
        .outerjoin(account, account.c.account_id == belongs.c.account_id)
    )
    low = func.coalesce(before.c.probability_after, 0)
    entered = span.c.entered_stage.is_not(None)
    high = case((entered, func.coalesce(inside.c.probability_after, low)), else_=low)
    replaced = {"owner_id", "team_id", "account_id"}
    columns = [column for column in span.c if column.name not in replaced]
    statement = select(
        *columns,
        working_stage(span).label("working_stage"),
        belongs.c.owner_id,
        belongs.c.team_id,
        belongs.c.account_id,
        account.c.name.label("account_name"),
        low.label("probability_low"),
        high.label("probability_high"),
        buying_stage.c.funnel_state,
    ).select_from(source)
    return _narrow(statement.where(*at(view), visible(view.scope, span.c.opportunity_id)), view, belongs).subquery(
        "seen"
    )


def at(view: View) -> list[ColumnElement[bool]]:
    """The span that held at `as_of` as we knew it at `known_at`."""
    return [
        span.c.valid_from <= view.as_of,
        span.c.valid_to > view.as_of,
        span.c.known_from <= view.known_at,
        span.c.known_to > view.known_at,
    ]


def subtree(table: Table, id_column: str, parent_column: str, tops: Iterable[str]) -> Select[Any]:
    """The ids of these nodes and of everything below them."""
    below = select(table.c[id_column].label("id")).where(table.c[id_column].in_(sorted(tops))).cte(recursive=True)
    # UNION, not UNION ALL: it ends even if late facts should make a ring of parents.
    below = below.union(select(table.c[id_column]).where(table.c[parent_column] == below.c.id))
    return select(below.c.id)


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


async def _ids(connection: AsyncConnection, statement: Select[Any]) -> list[str]:
    return [str(value) for value in (await connection.execute(statement)).scalars()]


def working_stage(of: FromClause) -> ColumnElement[int]:
    """completed + 1, or the process's last stage when all are completed (R1); needs `of_definition` joined."""
    return func.least(of.c.completed_stage + 1, func.coalesce(definition.c.stages, of.c.completed_stage + 1))


def of_definition(of: FromClause) -> ColumnElement[bool]:
    return and_(definition.c.key == of.c.process, definition.c.version == of.c.process_version)


def _of_process(stage: FromClause, number: ColumnElement[Any]) -> ColumnElement[bool]:
    return and_(stage.c.key == span.c.process, stage.c.version == span.c.process_version, stage.c.number == number)


def _narrow(statement: Select[Any], view: View, belongs: FromClause) -> Select[Any]:
    filters = view.filters
    if filters.owner:
        statement = statement.where(belongs.c.owner_id.in_(filters.owner))
    if filters.team:
        statement = statement.where(belongs.c.team_id.in_(filters.team))
    if filters.account:
        statement = statement.where(
            belongs.c.account_id.in_(subtree(account, "account_id", "parent_id", filters.account))
        )
    if filters.process:
        statement = statement.where(span.c.process.in_(filters.process))
    if filters.stage:
        statement = statement.where(working_stage(span).in_(filters.stage))
    if filters.state:
        statement = statement.where(buying_stage.c.funnel_state.in_(filters.state))
    if filters.outcome:
        statement = statement.where(span.c.outcome.in_(filters.outcome))
    if filters.flag:
        statement = statement.where(span.c.flags.overlap(list(filters.flag)))
    if filters.updated_after:
        statement = statement.where(span.c.updated_at > filters.updated_after)
    for word in filters.q.split():
        statement = statement.where(_mentions(word))
    return statement


def _mentions(word: str) -> ColumnElement[bool]:
    # A substring, not a lexeme: Chinese is written without blanks, and no dictionary knows a customer's product names.
    return or_(*(column.icontains(word, autoescape=True) for column in (span.c.name, account.c.name)))
