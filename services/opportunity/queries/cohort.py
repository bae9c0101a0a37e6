"""Where opportunities stood when: first entries into a stage or funnel state, and stays in it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Subquery, and_, func, literal, select
from sqlalchemy.dialects.postgresql import distinct_on

from services.opportunity.projections.timeline import span
from services.opportunity.queries.moment import FOREVER, OPEN, By, known, placed


@dataclass(frozen=True, slots=True)
class Cohort:
    """Those that first stood in a stage (`place` a number as text) or funnel state within [start, end).

    `went_on`: only those that reached a later place or were won; False: only the others.
    """

    by: By
    place: str
    start: datetime
    end: datetime
    went_on: bool | None = None


@dataclass(frozen=True, slots=True)
class Stay:
    """Those whose time in a stage or funnel state is over (`running` False), or goes on."""

    by: By
    place: str
    running: bool


def entries(
    by: By,
    as_of: datetime | None,
    known_at: datetime | None,
    start: datetime,
    end: datetime,
    of: ColumnElement[bool],
) -> Subquery:
    """Per opportunity and place first entered within [start, end): `entered_at`, whose it was then, and `next_at`, when it
    first stood in a later place after that (null: not by `as_of`). `of`: a condition on `span.opportunity_id`."""
    source, place, rank = placed(by)
    moved = span.alias("moved")
    # Whoever entered a place in the period has a span that begins in it: all others need not be sorted.
    in_period = (known(moved, known_at), moved.c.valid_from >= start, moved.c.valid_from < end)
    of_period = span.c.opportunity_id.in_(select(moved.c.opportunity_id).where(*in_period))
    moments = (
        select(
            span.c.opportunity_id,
            span.c.process,
            place.label("place"),
            rank.label("rank"),
            span.c.valid_from.label("entered_at"),
            *(span.c[name] for name in ("owner_id", "team_id", "account_id")),
        )
        .select_from(source)
        .where(known(span, known_at), _until(as_of), of, of_period)
        .cte("moments")
    )
    first = (
        select(moments)
        .ext(distinct_on(moments.c.opportunity_id, moments.c.place))
        .order_by(moments.c.opportunity_id, moments.c.place, moments.c.entered_at)
        .subquery("first_entry")
    )
    later = moments.alias("later")
    goes_on = and_(
        later.c.opportunity_id == first.c.opportunity_id,
        later.c.rank > first.c.rank,
        later.c.entered_at > first.c.entered_at,
    )
    return (
        select(first, func.min(later.c.entered_at).label("next_at"))
        .select_from(first.outerjoin(later, goes_on))
        .where(first.c.entered_at >= start, first.c.entered_at < end)
        .group_by(*first.c)
        .subquery("entry")
    )


def stays(
    by: By, as_of: datetime | None, known_at: datetime | None, now: datetime, of: ColumnElement[bool]
) -> Subquery:
    """Per opportunity and place: the seconds it has stood there while it was open or paused, all visits together, and whether
    it still does. `of`: a condition on `span.opportunity_id`."""
    source, place, _ = placed(by)
    until = literal(as_of or now, span.c.valid_to.type)
    lasted = func.extract("epoch", func.least(span.c.valid_to, until) - span.c.valid_from)
    goes_on = span.c.valid_to == FOREVER if as_of is None else span.c.valid_to > as_of
    return (
        select(
            span.c.opportunity_id,
            span.c.process,
            place.label("place"),
            func.sum(func.greatest(lasted, 0)).label("seconds"),
            func.bool_or(goes_on).label("running"),
        )
        .select_from(source)
        .where(known(span, known_at), _until(as_of), of, span.c.outcome.in_(OPEN))
        .group_by(span.c.opportunity_id, span.c.process, place)
        .subquery("stay")
    )


def _until(as_of: datetime | None) -> ColumnElement[Any]:
    return literal(True) if as_of is None else span.c.valid_from <= as_of
