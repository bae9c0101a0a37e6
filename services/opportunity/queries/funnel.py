"""The sales funnel (R3): what stands where, what converts, how long it takes, where it leaks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Integer, RowMapping, and_, cast, extract, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.projections.processes import definition
from services.opportunity.projections.timeline import span
from services.opportunity.queries.view import OPEN, View, of_definition, seen, visible, working_stage

GroupBy = Literal["state", "stage", "owner", "team", "account", "process", "outcome"]

GROUP_COLUMNS: dict[GroupBy, str] = {
    "state": "funnel_state",
    "stage": "working_stage",
    "owner": "owner_id",
    "team": "team_id",
    "account": "account_id",
    "process": "process",
    "outcome": "outcome",
}


async def counts(connection: AsyncConnection, view: View, by: Sequence[GroupBy]) -> Sequence[RowMapping]:
    """Number and money of the view's opportunities by `by` and currency, ordered by the groups.

    `weighted_minor` is the money times the middle of the probability range, rounded per opportunity to whole minor units;
    opportunities without an amount count, with currency null and no money.
    """
    rows = seen(view)
    groups: list[ColumnElement[Any]] = [rows.c[GROUP_COLUMNS[name]].label(name) for name in by]
    middle = (rows.c.probability_low + rows.c.probability_high) * rows.c.amount_minor / 200.0
    statement = (
        select(
            *groups,
            rows.c.currency,
            func.count().label("count"),
            func.coalesce(func.sum(rows.c.amount_minor), 0).label("amount_minor"),
            func.coalesce(func.sum(func.round(middle)), 0).label("weighted_minor"),
        )
        .group_by(*groups, rows.c.currency)
        .order_by(*(group.asc().nulls_last() for group in groups), rows.c.currency.asc().nulls_last())
    )
    return (await connection.execute(statement)).mappings().all()


async def conversion(connection: AsyncConnection, view: View, start: datetime, end: datetime) -> Sequence[RowMapping]:
    """Cohorts: per stage, the opportunities that first stood in it within [start, end), and what became of each by `as_of`.

    A cohort is fixed by when its members entered, so a later loss moves a member from `still_open` to `lost`; it changes no
    cohort of another period (R3). `days_median` is the time until the next stage, of those that went on.
    """
    first = _first_entries(view)
    later = first.alias("later")
    now = seen(view)
    went_on = (
        select(func.min(later.c.entered_at))
        .where(later.c.opportunity_id == first.c.opportunity_id, later.c.working_stage > first.c.working_stage)
        .where(later.c.process == first.c.process)
        .scalar_subquery()
    )
    cohort = (
        select(
            first.c.process,
            first.c.working_stage,
            first.c.entered_at,
            went_on.label("next_at"),
            now.c.outcome,
        )
        .select_from(first.join(now, now.c.opportunity_id == first.c.opportunity_id))
        .where(first.c.entered_at >= start, first.c.entered_at < end)
        .subquery("cohort")
    )
    won = cohort.c.outcome == "won"
    advanced = cohort.c.next_at.is_not(None) | won
    days = extract("epoch", cohort.c.next_at - cohort.c.entered_at) / 86_400.0
    statement = (
        select(
            cohort.c.process,
            cohort.c.working_stage.label("stage"),
            func.count().label("entered"),
            func.count().filter(advanced).label("advanced"),
            func.count().filter(won).label("won"),
            func.count().filter(cohort.c.outcome == "lost").label("lost"),
            func.count().filter(cohort.c.outcome == "abandoned").label("abandoned"),
            func.count().filter(cohort.c.outcome.in_(OPEN)).label("still_open"),
            func.percentile_cont(0.5).within_group(days).filter(cohort.c.next_at.is_not(None)).label("days_median"),
        )
        .group_by(cohort.c.process, cohort.c.working_stage)
        .order_by(cohort.c.process, cohort.c.working_stage)
    )
    return (await connection.execute(statement)).mappings().all()


async def time_in_stage(connection: AsyncConnection, view: View) -> Sequence[RowMapping]:
    """Days that open opportunities have stood in their working stage at `as_of`: median, 90th percentile and longest."""
    rows = seen(view)
    days = cast(func.floor(extract("epoch", view.as_of - rows.c.stage_since) / 86_400.0), Integer)
    statement = (
        select(
            rows.c.process,
            rows.c.working_stage.label("stage"),
            func.count().label("count"),
            func.percentile_cont(0.5).within_group(days).label("days_median"),
            func.percentile_cont(0.9).within_group(days).label("days_p90"),
            func.max(days).label("days_longest"),
        )
        .where(rows.c.outcome.in_(OPEN))
        .group_by(rows.c.process, rows.c.working_stage)
        .order_by(rows.c.process, rows.c.working_stage)
    )
    return (await connection.execute(statement)).mappings().all()


async def leakage(connection: AsyncConnection, view: View, start: datetime, end: datetime) -> Sequence[RowMapping]:
    """Where and why opportunities were lost or abandoned within [start, end): by stage, outcome, reason and currency."""
    rows = seen(view)
    statement = (
        select(
            rows.c.process,
            rows.c.working_stage.label("stage"),
            rows.c.outcome,
            rows.c.reason,
            rows.c.competitor,
            rows.c.currency,
            func.count().label("count"),
            func.coalesce(func.sum(rows.c.amount_minor), 0).label("amount_minor"),
        )
        .where(rows.c.outcome.in_(("lost", "abandoned")), rows.c.outcome_since >= start, rows.c.outcome_since < end)
        .group_by(
            rows.c.process, rows.c.working_stage, rows.c.outcome, rows.c.reason, rows.c.competitor, rows.c.currency
        )
        .order_by(func.count().desc(), rows.c.process, rows.c.working_stage, rows.c.outcome, rows.c.reason)
    )
    return (await connection.execute(statement)).mappings().all()


def _first_entries(view: View) -> Any:
    """Per opportunity and working stage: when it first stood there, by what was known at `known_at`, up to `as_of`."""
    stage = working_stage(span).label("working_stage")
    return (
        select(span.c.opportunity_id, span.c.process, stage, func.min(span.c.valid_from).label("entered_at"))
        .select_from(span.outerjoin(definition, of_definition(span)))
        .where(
            and_(span.c.valid_from <= view.as_of, span.c.known_from <= view.known_at, span.c.known_to > view.known_at),
            visible(view.scope, span.c.opportunity_id),
        )
        .group_by(span.c.opportunity_id, span.c.process, stage)
        .subquery("first_entry")
    )
