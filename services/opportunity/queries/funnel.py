"""The sales funnel (R3): what stands where, what converts, how long it takes, where it leaks."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import BigInteger, ColumnElement, RowMapping, case, cast, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import Subquery

from services.opportunity.queries.cohort import entries, stays
from services.opportunity.queries.moment import OPEN, By
from services.opportunity.queries.view import View, held_by, seen, visible
from shared.contracts.opportunity import FunnelState
from shared.kit.calendar import BusinessCalendar

CloseBy = Literal["close_month", "close_quarter", "close_year"]
GroupBy = Literal["state", "stage", "synchrony", "owner", "team", "account", "process", "outcome", CloseBy]
CLOSE_PERIODS: dict[GroupBy, Literal["month", "quarter", "year"]] = {
    "close_month": "month",
    "close_quarter": "quarter",
    "close_year": "year",
}
"""In which period of the business calendar something is expected to close."""
_LABELS = {"month": "'YYYY-MM'", "quarter": "'YYYY-\"Q\"Q'", "year": "'\"FY\"YYYY'"}
GROUP_COLUMNS: dict[GroupBy, str] = {
    "state": "funnel_state",
    "stage": "working_stage",
    "synchrony": "synchrony",
    "owner": "owner_id",
    "team": "team_id",
    "account": "account_id",
    "process": "process",
    "outcome": "outcome",
}

FROM_THE_TOP = get_args(FunnelState)


async def counts(connection: AsyncConnection, view: View, by: Sequence[GroupBy]) -> Sequence[RowMapping]:
    """Number and money of the view's opportunities by `by` and currency, ordered by the groups; funnel states from the top down.

    `weighted_minor` is the money times the middle of the probability range, rounded per opportunity to whole minor units;
    opportunities without an amount count, with currency null and no money.
    """
    rows = seen(view)
    groups = groups_of(rows, by, view.calendar)
    statement = (
        select(
            *groups,
            rows.c.currency,
            func.count().label("count"),
            whole(func.sum(rows.c.amount_minor)).label("amount_minor"),
            whole(func.sum(weighted(rows))).label("weighted_minor"),
        )
        .group_by(*groups, rows.c.currency)
        .order_by(*(in_order(group) for group in groups), rows.c.currency.asc().nulls_last())
    )
    return (await connection.execute(statement)).mappings().all()


async def conversion(
    connection: AsyncConnection, view: View, start: datetime, end: datetime, by: By = "stage"
) -> Sequence[RowMapping]:
    """Cohorts: per process and stage, or per funnel state, the opportunities that first stood in it within [start, end), and
    what became of each by `as_of`: advanced (to a later place, or won), won, lost, abandoned, still_open.

    A cohort is fixed by when its members entered, so a later loss moves a member from `still_open` to `lost`; it changes no
    cohort of another period (R3). `days_median` is the time until the next place, of those that went on.
    """
    cohort = cohort_of(view, by, start, end)
    won, further = cohort.c.outcome == "won", cohort.c.next_at.is_not(None)
    days = func.extract("epoch", cohort.c.next_at - cohort.c.entered_at) / 86_400.0
    groups = _place(cohort, by, "place")
    statement = (
        select(
            *groups,
            func.count().label("entered"),
            func.count().filter(further | won).label("advanced"),
            func.count().filter(won).label("won"),
            func.count().filter(cohort.c.outcome == "lost").label("lost"),
            func.count().filter(cohort.c.outcome == "abandoned").label("abandoned"),
            func.count().filter(cohort.c.outcome.in_(OPEN)).label("still_open"),
            func.percentile_cont(0.5).within_group(days).filter(further).label("days_median"),
        )
        .group_by(*groups)
        .order_by(*(in_order(group) for group in groups))
    )
    return (await connection.execute(statement)).mappings().all()


def cohort_of(view: View, by: By, start: datetime, end: datetime) -> Subquery:
    """Entries within [start, end) with what has become of them: place, process, entered_at, next_at, outcome, outcome_since,
    amount_minor, currency."""
    entry = entries(by, view.as_of, view.known_at, start, end, visible(view.scope))
    nobody = replace(view.filters, owner=(), team=(), account=(), only_account=())
    became = seen(replace(view, filters=nobody) if view.belonging == "then" else view)
    names = ("outcome", "outcome_since", "amount_minor", "currency")
    statement = select(
        entry.c.place, entry.c.process, entry.c.entered_at, entry.c.next_at, *(became.c[name] for name in names)
    ).select_from(entry.join(became, became.c.opportunity_id == entry.c.opportunity_id))
    if view.belonging == "then":
        statement = statement.where(*held_by(view.filters, dict(entry.c.items())))
    return statement.subquery("cohort")


async def time_in_stage(connection: AsyncConnection, view: View, by: By = "stage") -> Sequence[RowMapping]:
    """Days that opportunities have stood in each stage or funnel state, all their visits together, while they were open or
    paused: of those that still do (`running`) apart from those whose time there is over."""
    rows, stay = seen(view), stays(by, view.as_of, view.known_at, view.now, visible(view.scope))
    days = stay.c.seconds / 86_400.0
    groups = (*_place(stay, by, "place"), stay.c.running)
    statement = (
        select(
            *groups,
            func.count().label("count"),
            func.percentile_cont(0.5).within_group(days).label("days_median"),
            func.percentile_cont(0.9).within_group(days).label("days_p90"),
            func.max(days).label("days_longest"),
        )
        .select_from(stay.join(rows, rows.c.opportunity_id == stay.c.opportunity_id))
        .group_by(*groups)
        .order_by(*(in_order(group) for group in groups))
    )
    return (await connection.execute(statement)).mappings().all()


async def leakage(
    connection: AsyncConnection, view: View, start: datetime, end: datetime, by: By = "stage"
) -> Sequence[RowMapping]:
    """Where and why opportunities were lost or abandoned within [start, end): by the stage or funnel state in which they
    stood, outcome, reason, competitor and currency; most first."""
    narrowed = replace(view.filters, closed_from=start, closed_before=end)
    rows = seen(replace(view, filters=narrowed))
    why = (rows.c.outcome, rows.c.reason, rows.c.competitor, rows.c.currency)
    groups = (*_place(rows, by, GROUP_COLUMNS[by]), *why)
    statement = (
        select(*groups, func.count().label("count"), whole(func.sum(rows.c.amount_minor)).label("amount_minor"))
        .where(rows.c.outcome.in_(("lost", "abandoned")))
        .group_by(*groups)
        .order_by(func.count().desc(), *(in_order(group) for group in groups))
    )
    return (await connection.execute(statement)).mappings().all()


def groups_of(rows: Subquery, by: Sequence[GroupBy], calendar: BusinessCalendar) -> list[ColumnElement[Any]]:
    """What the rows of `seen` are grouped by, under the name of each; a period by its label, null without a close date."""
    return [_group(rows, name, calendar).label(name) for name in by]


def _group(rows: Subquery, name: GroupBy, calendar: BusinessCalendar) -> ColumnElement[Any]:
    if name in GROUP_COLUMNS:
        return rows.c[GROUP_COLUMNS[name]]
    # Moved on so far that fiscal years, named after the year in which they end, are calendar years. All of it is written out: what
    # is grouped by has to be the same expression wherever it stands, and two parameters are not.
    months = 0 if name == "close_month" else (13 - calendar.fiscal_year_start_month) % 12
    moved = rows.c.close_date + literal_column(f"interval '{months} months'")
    return func.to_char(moved, literal_column(_LABELS[CLOSE_PERIODS[name]]))


def weighted(rows: Subquery) -> ColumnElement[int]:
    """An opportunity's money times the middle of its probability range, in whole minor units."""
    doubled = (rows.c.probability_low + rows.c.probability_high) * rows.c.amount_minor  # per cent of twice the money
    return (doubled + 100) // 200  # whole numbers all the way: money is never a float


def _place(rows: Subquery, by: By, column: str) -> tuple[ColumnElement[Any], ...]:
    """Stages belong to a process; funnel states are the same in all."""
    place = rows.c[column].label(by)
    return (rows.c.process, place) if by == "stage" else (place,)


def in_order(group: ColumnElement[Any]) -> ColumnElement[Any]:
    """What a group is sorted by: funnel states from the top down, those without one last."""
    if group.name != "state":
        return group.asc().nulls_last()
    return case({state: place for place, state in enumerate(FROM_THE_TOP)}, value=group)


def whole(total: ColumnElement[Any]) -> ColumnElement[int]:
    """A sum as a whole number: of nothing, 0."""
    return cast(func.coalesce(total, 0), BigInteger)
