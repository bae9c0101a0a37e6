"""Targets: which word counts, and all words that were said."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, exists, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.projections.forecasts import target
from services.opportunity.projections.organisation import team
from services.opportunity.queries.newest import narrowed_by, newest_first
from shared.contracts.opportunity import HolderKind
from shared.service.visibility import Scope


@dataclass(frozen=True, slots=True)
class TargetFilters:
    """Every field narrows; empty ones do not. `history`: also words that do not count, or not any more."""

    holder_kind: tuple[HolderKind, ...] = ()
    holder: tuple[str, ...] = ()
    period: tuple[str, ...] = ()
    currency: tuple[str, ...] = ()
    history: bool = False


async def targets(
    connection: AsyncConnection,
    scope: Scope,
    filters: TargetFilters,
    *,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
    limit: int | None = None,
    after: tuple[datetime, int] | None = None,
) -> Sequence[RowMapping]:
    """The newest first. The company's are everybody's to see, those of people and teams within the scope."""
    statement = _said(as_of, known_at, filters.history).where(_visible(scope), *_narrowed(filters))
    order = (target.c.effective_from, target.c.position)
    statement = newest_first(statement, order, limit, after)
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return rows


async def teams_with_teams_below(connection: AsyncConnection, teams: Collection[str]) -> frozenset[str]:
    """Those of the teams that have others below them: their target is not theirs alone."""
    if not teams:
        return frozenset()
    parents = select(team.c.parent_team_id).where(team.c.parent_team_id.in_(sorted(teams)))
    return frozenset((await connection.execute(parents)).scalars())


def _said(as_of: datetime | None, known_at: datetime | None, history: bool) -> Select[Any]:
    """Words said by then. What counts of a holder, period and currency: the latest effective one, of several the last said."""
    statement = select(target).where(*_by_then(target, as_of, known_at))
    if history:
        return statement
    later = target.alias("later")
    same = [later.c[name] == target.c[name] for name in ("book", "currency")]
    newer = tuple_(later.c.effective_from, later.c.version) > tuple_(target.c.effective_from, target.c.version)
    return statement.where(~exists().where(*same, newer, *_by_then(later, as_of, known_at)))


def _by_then(of: Any, as_of: datetime | None, known_at: datetime | None) -> list[ColumnElement[bool]]:
    effective = [] if as_of is None else [of.c.effective_from <= as_of]
    return effective if known_at is None else [*effective, of.c.recorded_at <= known_at]


def _visible(scope: Scope) -> ColumnElement[bool]:
    if scope.everything:
        return literal(True)
    return or_(
        target.c.holder_kind == "company",
        and_(target.c.holder_kind == "person", target.c.holder_id.in_(sorted(scope.people))),
        and_(target.c.holder_kind == "team", target.c.holder_id.in_(sorted(scope.teams))),
    )


def _narrowed(filters: TargetFilters) -> list[ColumnElement[bool]]:
    return narrowed_by(
        (target.c.holder_kind, filters.holder_kind),
        (target.c.holder_id, filters.holder),
        (target.c.period, filters.period),
        (target.c.currency, filters.currency),
    )
