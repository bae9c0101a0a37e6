"""Conditions on the two times, and what a span's numbers mean under its sales process: the parts of all questions."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, FromClause, and_, case, func, literal_column, null, or_

from services.opportunity.domain.forecast.category import BY_FUNNEL_STATE
from services.opportunity.projections.processes import buying_stage, definition, selling_stage
from services.opportunity.projections.timeline import span

By = Literal["stage", "state"]
Due = Literal["ahead", "overdue", "undated"]
OPEN = ("open", "paused")
CLOSED = ("won", "lost", "abandoned")
# Written out, not a parameter: the partial indexes of `span` serve only what the planner can see.
FOREVER: ColumnElement[Any] = literal_column("'9999-01-01+00'::timestamptz")


def holds(of: FromClause, as_of: datetime | None, known_at: datetime | None) -> ColumnElement[bool]:
    """The span that held at `as_of` as known at `known_at`; None: the latest, whatever anybody's clock says."""
    if as_of is None:
        return and_(of.c.valid_to == FOREVER, known(of, known_at))
    return and_(of.c.valid_from <= as_of, of.c.valid_to > as_of, known(of, known_at))


def known(of: FromClause, known_at: datetime | None) -> ColumnElement[bool]:
    """All spans of the business time as known at `known_at`; None: as known by now."""
    if known_at is None:
        return and_(of.c.known_to == FOREVER)
    return and_(of.c.known_from <= known_at, of.c.known_to > known_at)


def working_stage(of: FromClause) -> ColumnElement[int]:
    """completed + 1, or the process's last stage when all are completed (R1); needs `of_definition` joined."""
    return func.least(of.c.completed_stage + 1, func.coalesce(definition.c.stages, of.c.completed_stage + 1))


def synchrony(of: FromClause) -> ColumnElement[str]:
    """Working stage against buying stage (R1); needs `of_definition` joined."""
    gap = of.c.buying_stage - working_stage(of)
    far = gap >= definition.c.process["at_risk_gap"].as_integer()
    return case((gap == 0, "in_sync"), (gap < 0, "ahead"), (far, "at_risk"), else_="behind")


def decision_due(of: FromClause) -> ColumnElement[bool]:
    """At risk, and nobody has decided to catch up or to give up (R1); needs `of_definition` joined."""
    return and_(synchrony(of) == "at_risk", of.c.outcome.in_(OPEN), of.c.risk_decision.is_(None))


def forecast_category(of: FromClause) -> ColumnElement[Any]:
    """As `domain.forecast` has it; NULL for what ended otherwise than won; needs `buying_stage` joined."""
    derived = case(dict(BY_FUNNEL_STATE), value=buying_stage.c.funnel_state)
    ended = of.c.outcome.in_(CLOSED)
    return case((of.c.outcome == "won", "closed"), (ended, null()), else_=func.coalesce(of.c.forecast_chosen, derived))


def due(close_date: ColumnElement[Any], today: date) -> Mapping[Due, ColumnElement[bool]]:
    return {"ahead": close_date >= today, "overdue": close_date < today, "undated": close_date.is_(None)}


def judged(of: FromClause) -> ColumnElement[bool]:
    """Has a manager another amount or close date in mind? A note alone changes no figure."""
    return or_(of.c.judged_minor.is_not(None), of.c.judged_close_date.is_not(None))


def judged_close(of: FromClause) -> ColumnElement[Any]:
    return func.coalesce(of.c.judged_close_date, of.c.close_date)


def judged_currency(of: FromClause) -> ColumnElement[Any]:
    return func.coalesce(of.c.judged_currency, of.c.currency)


def of_definition(of: FromClause) -> ColumnElement[bool]:
    return and_(definition.c.key == of.c.process, definition.c.version == of.c.process_version)


def of_process(stage: FromClause, of: FromClause, number: ColumnElement[Any]) -> ColumnElement[bool]:
    return and_(stage.c.key == of.c.process, stage.c.version == of.c.process_version, stage.c.number == number)


def with_probability(
    source: FromClause, of: FromClause
) -> tuple[FromClause, tuple[ColumnElement[int], ColumnElement[int]]]:
    """`source` joined with the stages around where a span stands, and its probability range in per cent (R1, R2), as far as it
    has not ended."""
    before, inside = selling_stage.alias("completed"), selling_stage.alias("working")
    source = source.outerjoin(before, of_process(before, of, of.c.completed_stage))
    source = source.outerjoin(inside, of_process(inside, of, of.c.completed_stage + 1))
    completed = func.coalesce(before.c.probability_after, 0)
    entered = of.c.entered_stage.is_not(None)
    reached = case((entered, func.coalesce(inside.c.probability_after, completed)), else_=completed)
    return source, (completed, reached)


def placed(by: By) -> tuple[FromClause, ColumnElement[Any], ColumnElement[int]]:
    """`span` joined with what says where it stands: (source, the stage number or funnel state, its rank)."""
    if by == "stage":
        stage = working_stage(span)
        return span.outerjoin(definition, of_definition(span)), stage, stage
    state = buying_stage.c.funnel_state
    rank = case((state == "searching", 1), (state == "in_funnel", 2), else_=3)
    return span.join(buying_stage, of_process(buying_stage, span, span.c.buying_stage)), state, rank
