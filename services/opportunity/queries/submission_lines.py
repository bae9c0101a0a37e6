"""The lines of submitted forecasts: of one, of many, and how many of them were won in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    RowMapping,
    and_,
    case,
    cast,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.projections.forecasts import submission, submission_line
from services.opportunity.projections.timeline import span
from services.opportunity.queries.moment import holds
from services.opportunity.queries.newest import newest_first
from services.opportunity.queries.priority import morning
from services.opportunity.queries.submissions import (
    BookKey,
    SubmissionFilters,
    at_the_end,
    narrowed,
    to_be_won,
    visible_submissions,
)
from services.opportunity.queries.view import among, visible
from shared.service.visibility import Scope

line, became = submission_line, span.alias("became")
DOUBLED = line.c.low + line.c.high
WEIGHTED = (DOUBLED * line.c.amount_minor + 100) // 200


@dataclass(frozen=True, slots=True)
class LineFilters:
    """`place`: (process, number of the stage). `currency`: of the amount; None among them: without one."""

    place: tuple[str, int] | None = None
    currency: tuple[str | None, ...] = ()


async def lines_of(connection: AsyncConnection, scope: Scope, key: BookKey) -> Sequence[RowMapping]:
    """In order of close dates, those that stand `beside` last; `name` and `outcome` as they are now, null of opportunities that may
    not be seen any more."""
    statement = select(line, span.c.name, span.c.outcome).select_from(line.outerjoin(span, _now(scope)))
    statement = statement.where(line.c.book == key[0], line.c.version == key[1])
    ordered = statement.order_by(line.c.beside, line.c.close_date.asc().nulls_last(), line.c.opportunity_id)
    return (await connection.execute(ordered)).mappings().all()


async def lines(
    connection: AsyncConnection,
    scope: Scope,
    filters: SubmissionFilters,
    of: LineFilters,
    limit: int,
    after: tuple[datetime, str, str] | None = None,
) -> Sequence[RowMapping]:
    """Those that were open when they were submitted, of the newest submission first; with the submission, `won`: within the period,
    and then `won_minor` in the currency of the line; `name` and `outcome` as in `lines_of`."""
    source, won = _with_what_became(filters.time_zone)
    told = [submission.c[name] for name in ("submission_id", "holder_kind", "holder_id", "period", "submitted_at")]
    won_minor = case((and_(won, _in_its()), became.c.amount_minor)).label("won_minor")
    statement = (
        select(line, *told, func.coalesce(won, False).label("won"), won_minor, span.c.name, span.c.outcome)
        .select_from(source.outerjoin(span, _now(scope)))
        .where(visible_submissions(scope), *narrowed(filters), to_be_won(line))
    )
    if of.place is not None:
        statement = statement.where(line.c.process == of.place[0], line.c.stage == of.place[1])
    if of.currency:
        statement = statement.where(among(line.c.currency, of.currency))
    order = (submission.c.submitted_at, submission.c.submission_id, line.c.opportunity_id)
    statement = newest_first(statement, order, limit, after)
    found: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return found


async def by_stage(connection: AsyncConnection, scope: Scope, filters: SubmissionFilters) -> Sequence[RowMapping]:
    """Of the lines that were open when they were submitted, by process, stage and currency (null: without an amount): how many
    (`lines`, of so many `submissions`), `doubled`: the sum of both bounds of the probability in per cent, `won` within the period;
    `weighted_minor` against `won_minor`."""
    source, won = _with_what_became(filters.time_zone)
    statement = (
        select(
            line.c.process,
            line.c.stage,
            line.c.currency,
            func.max(line.c.process_version).label("process_version"),
            func.count().label("lines"),
            func.count(func.distinct(submission.c.submission_id)).label("submissions"),
            cast(func.sum(DOUBLED), BigInteger).label("doubled"),
            func.count().filter(won).label("won"),
            cast(func.coalesce(func.sum(WEIGHTED), 0), BigInteger).label("weighted_minor"),
            cast(func.coalesce(func.sum(became.c.amount_minor).filter(won, _in_its()), 0), BigInteger).label(
                "won_minor"
            ),
        )
        .select_from(source)
        .where(visible_submissions(scope), *narrowed(filters), to_be_won(line))
        .group_by(line.c.process, line.c.stage, line.c.currency)
        .order_by(line.c.process, line.c.stage, line.c.currency.asc().nulls_last())
    )
    return (await connection.execute(statement)).mappings().all()


def _with_what_became(time_zone: str) -> tuple[FromClause, ColumnElement[bool]]:
    """(submissions with their lines, and what had become of each when the period ended; whether it was won within the period)."""
    end = morning(submission.c.last_day + 1, time_zone)
    same = and_(line.c.book == submission.c.book, line.c.version == submission.c.version)
    at_end = and_(became.c.opportunity_id == line.c.opportunity_id, at_the_end(became, end))
    won = and_(became.c.outcome == "won", became.c.outcome_since >= morning(submission.c.first_day, time_zone))
    return submission.join(line, same).outerjoin(became, at_end), won


def _now(scope: Scope) -> Any:
    return and_(span.c.opportunity_id == line.c.opportunity_id, holds(span, None, None), visible(scope))


def _in_its() -> ColumnElement[bool]:
    return became.c.currency == line.c.currency
