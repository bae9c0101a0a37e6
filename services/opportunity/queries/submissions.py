"""What was submitted as forecasts: lists, one of them, and what was won within their periods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    RowMapping,
    Select,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.projections.forecasts import submission, submission_line
from services.opportunity.projections.timeline import span
from services.opportunity.queries.moment import known
from services.opportunity.queries.newest import narrowed_by, newest_first
from services.opportunity.queries.priority import day_of, morning
from shared.service.visibility import Scope

BookKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class SubmissionFilters:
    """Every field narrows; empty ones do not. `standing`: superseded by none, or by one. `within`: their period lies within these
    days; `ended`: it had ended before this day. `days`: so many lie between the submission and the last day of its period (None: no
    end), by the calendar of `time_zone`. `stage`: (process, number) in which one of its lines stood, to be won yet.
    `currency`: something was expected, judged or won in it; with `judged`: judged by a manager."""

    holder_kind: tuple[Literal["person", "team"], ...] = ()
    holder: tuple[str, ...] = ()
    period: tuple[str, ...] = ()
    standing: bool | None = None
    within: tuple[date, date] | None = None
    ended: date | None = None
    days: tuple[int, int | None] | None = None
    stage: tuple[str, int] | None = None
    currency: tuple[str, ...] = ()
    judged: bool = False
    time_zone: str = "UTC"


async def submissions(
    connection: AsyncConnection,
    scope: Scope,
    filters: SubmissionFilters,
    limit: int | None = None,
    after: tuple[datetime, str] | None = None,
) -> Sequence[RowMapping]:
    """The newest first, those of people within the scope, and of teams all of which are; with `standing`."""
    statement = _seen(scope).where(*narrowed(filters))
    order = (submission.c.submitted_at, submission.c.submission_id)
    statement = newest_first(statement, order, limit, after)
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return rows


async def one_submission(
    connection: AsyncConnection, scope: Scope, submission_id: str
) -> tuple[bool, RowMapping | None]:
    """(whether there is such a submission, its row if it may be seen)."""
    mine = submission.c.submission_id == submission_id
    there = await connection.scalar(select(submission.c.version).where(mine))
    found = await connection.execute(_seen(scope).where(mine))
    return there is not None, found.mappings().one_or_none()


async def won_within(
    connection: AsyncConnection, scope: Scope, filters: SubmissionFilters
) -> Mapping[BookKey, Mapping[str, int]]:
    """By submission and currency, what its holder had won within the period when the period ended, as known now.

    Whose it was when it was won, whoever sees it now: the same for everybody who sees the submission.
    """
    source = submission.join(span, _won_by_holder(span, filters.time_zone))
    statement = (
        select(
            submission.c.book,
            submission.c.version,
            span.c.currency,
            cast(func.sum(span.c.amount_minor), BigInteger).label("minor"),
        )
        .select_from(source)
        .where(visible_submissions(scope), *narrowed(filters), span.c.currency.is_not(None))
        .group_by(submission.c.book, submission.c.version, span.c.currency)
    )
    found: dict[BookKey, dict[str, int]] = {}
    for row in (await connection.execute(statement)).mappings():
        found.setdefault((row["book"], row["version"]), {})[row["currency"]] = row["minor"]
    return found


def at_the_end(of: FromClause, end: ColumnElement[Any]) -> ColumnElement[bool]:
    """The span that held at the last moment before `end`."""
    return and_(of.c.valid_from < end, of.c.valid_to >= end, known(of, None))


def _won_by_holder(of: FromClause, time_zone: str) -> ColumnElement[bool]:
    """The spans (`of`) of what the holder of a submission had won within its period when the period ended."""
    end = morning(submission.c.last_day + 1, time_zone)
    mine = case(
        (submission.c.holder_kind == "person", of.c.then_owner_id == submission.c.holder_id),
        else_=of.c.then_team_id == any_(submission.c.teams),
    )
    began = morning(submission.c.first_day, time_zone)
    return and_(at_the_end(of, end), of.c.outcome == "won", of.c.outcome_since >= began, of.c.outcome_since < end, mine)


def _speaks_of(currency: str, time_zone: str) -> ColumnElement[bool]:
    """Was something expected, judged or won in it? What an accuracy in the currency is about."""
    said = [{"currency": currency}]
    gained = span.alias("gained")
    won = exists().where(_won_by_holder(gained, time_zone), gained.c.currency == currency)
    return or_(submission.c.figures.contains(said), submission.c.judged.contains(said), won)


def _has_line(process: str, stage: int) -> ColumnElement[bool]:
    line = submission_line.alias("standing_there")
    same = (line.c.book == submission.c.book, line.c.version == submission.c.version)
    return exists().where(*same, line.c.process == process, line.c.stage == stage, to_be_won(line))


def to_be_won(line: FromClause) -> ColumnElement[bool]:
    return and_(line.c.category.not_in(("closed", "omitted")), ~line.c.beside)


def _superseded() -> ColumnElement[bool]:
    later = submission.alias("later")
    newer = tuple_(later.c.submitted_at, later.c.version) > tuple_(submission.c.submitted_at, submission.c.version)
    return exists().where(later.c.book == submission.c.book, newer)


def _seen(scope: Scope) -> Select[Any]:
    return select(submission, (~_superseded()).label("standing")).where(visible_submissions(scope))


def visible_submissions(scope: Scope) -> ColumnElement[bool]:
    if scope.everything:
        return literal(True)
    return or_(
        and_(submission.c.holder_kind == "person", submission.c.holder_id.in_(sorted(scope.people))),
        and_(submission.c.holder_kind == "team", submission.c.teams.contained_by(sorted(scope.teams))),
    )


def narrowed(filters: SubmissionFilters) -> list[ColumnElement[bool]]:
    found = narrowed_by(
        (submission.c.holder_kind, filters.holder_kind),
        (submission.c.holder_id, filters.holder),
        (submission.c.period, filters.period),
    )
    if filters.standing is not None:
        found.append(~_superseded() if filters.standing else _superseded())
    if filters.within is not None:
        found += [submission.c.first_day >= filters.within[0], submission.c.last_day <= filters.within[1]]
    if filters.ended is not None:
        found.append(submission.c.last_day < filters.ended)
    if filters.days is not None:
        ahead = submission.c.last_day - day_of(submission.c.submitted_at, filters.time_zone)
        first, last = filters.days
        found.append(func.greatest(ahead, 0) >= first if last is None else func.greatest(ahead, 0).between(first, last))
    if filters.stage is not None:
        found.append(_has_line(*filters.stage))
    if filters.judged:
        words = [submission.c.judged.contains([{"currency": currency}]) for currency in filters.currency]
        found.append(or_(*words) if words else func.jsonb_array_length(submission.c.judged) > 0)
    elif filters.currency:
        found.append(or_(*(_speaks_of(currency, filters.time_zone) for currency in filters.currency)))
    return found
