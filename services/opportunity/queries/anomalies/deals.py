"""What is abnormal about opportunities: as `domain.anomalies.opportunity` has it, for all of a view in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    tuple_,
)

from services.opportunity.domain.anomalies.limits import AnomalyLimits
from services.opportunity.domain.anomalies.opportunity import DEAL_ANOMALIES, AnomalyCode
from services.opportunity.projections.processes import definition, selling_stage
from services.opportunity.projections.timeline import span
from services.opportunity.queries.moment import known, of_definition, of_process, working_stage
from services.opportunity.queries.priority import day_of, morning
from services.opportunity.queries.view import View, seen

# Comparable, unlike NULL: a state that is abnormal from its beginning, and one that never is.
ALWAYS: ColumnElement[Any] = literal_column("'-infinity'::timestamptz")
NEVER: ColumnElement[Any] = literal_column("'infinity'::timestamptz")

_NEEDED = (
    "opportunity_id", "valid_from", "name", "owner_id", "team_id", "account_id", "process", "process_version",
    "working_stage", "buying_stage", "stage_since", "pushed_out_at", "amount_minor", "currency", "close_date",
)  # fmt: skip


def of_deals(view: View, limits: AnomalyLimits, codes: Sequence[AnomalyCode]) -> Sequence[Select[Any]]:
    """A question for each of the codes (none: all) that is about opportunities, of those that are open."""
    wanted = [code for code in DEAL_ANOMALIES if not codes or code in codes]
    outcome = view.filters.outcome
    if not wanted or (outcome and "open" not in outcome):
        return []
    open_ones = replace(view, filters=replace(view.filters, outcome=("open",)))
    rows = seen(open_ones)
    standing = select(*(rows.c[name] for name in _NEEDED)).cte("standing")
    since = _since(view, limits, standing, wanted)
    measured = _measured(view, limits, standing)
    found = []
    for code in wanted:
        value, limit = measured[code]
        began = since.c[code]
        row = _row(standing, code, began, value, limit)
        source = standing.join(since, since.c.opportunity_id == standing.c.opportunity_id)
        # Clocks differ a little, and what is known last is so.
        at = func.greatest(literal(view.at, DateTime(timezone=True)), standing.c.valid_from)
        found.append(row.select_from(_with_stage(source, standing)).where(began <= at))
    return found


def _row(
    of: FromClause, code: str, since: ColumnElement[Any], value: ColumnElement[int], limit: ColumnElement[Any]
) -> Select[Any]:
    names = ("owner_id", "team_id", "account_id", "process", "process_version")
    return select(
        literal(code, Text).collate("C").label("code"),
        cast(of.c.opportunity_id, Text).collate("C").label("about"),
        of.c.opportunity_id,
        of.c.name,
        *(of.c[name] for name in names),
        of.c.working_stage.label("stage"),
        of.c.amount_minor,
        of.c.currency,
        since.label("since"),
        cast(value, Integer).label("value"),
        cast(limit, Integer).label("limit"),
    )


def _since(view: View, limits: AnomalyLimits, standing: CTE, wanted: Sequence[str]) -> CTE:
    """Per opportunity and code: since when it has been so without interruption. That is the end of the last time that it was not:
    every span that begins normal says until when, and where none does, the opportunity was opened so."""
    completed = selling_stage.alias("reached")
    source = (
        span.outerjoin(definition, of_definition(span))
        .outerjoin(selling_stage, of_process(selling_stage, span, working_stage(span)))
        .outerjoin(completed, of_process(completed, span, span.c.completed_stage))
    )
    begins = _begins(view, limits, func.coalesce(completed.c.probability_after, 0))
    columns = []
    for code in wanted:
        begin = case((span.c.outcome == "open", begins[code]), else_=NEVER)
        normal_until = func.least(span.c.valid_to, begin)
        last = func.max(normal_until).filter(begin > span.c.valid_from)
        columns.append(func.coalesce(last, func.min(span.c.valid_from)).label(code))
    statement = (
        select(span.c.opportunity_id, *columns)
        .select_from(source)
        .where(known(span, view.known_at), span.c.opportunity_id.in_(select(standing.c.opportunity_id)))
        .group_by(span.c.opportunity_id)
    )
    if view.as_of is not None:
        statement = statement.where(span.c.valid_from <= view.as_of)
    return statement.cte("since")


def _begins(view: View, limits: AnomalyLimits, reached: ColumnElement[int]) -> Mapping[str, ColumnElement[Any]]:
    """Per code the moment from which an open span is abnormal if it lasts so long."""
    zone = view.calendar.time_zone
    days = stage_days(limits, span)
    over = day_of(span.c.stage_since, zone) + days + 1
    gap = span.c.buying_stage - working_stage(span)
    early = and_(_big(limits, span), reached < limits.early_below, span.c.close_date.is_not(None))
    return {
        "stalled": case((days.is_(None), NEVER), else_=morning(over, zone)),
        "slipping": case((func.cardinality(span.c.pushed_out_at) >= limits.pushed_out, ALWAYS), else_=NEVER),
        "out_of_sync": case((func.abs(gap) >= limits.out_of_sync_by, ALWAYS), else_=NEVER),
        "early_near_close": case((early, morning(span.c.close_date - limits.near_close_days, zone)), else_=NEVER),
    }


def _measured(
    view: View, limits: AnomalyLimits, standing: CTE
) -> Mapping[str, tuple[ColumnElement[Any], ColumnElement[Any]]]:
    """Per code the value and its limit."""
    today = literal(view.today)
    return {
        "stalled": (today - day_of(standing.c.stage_since, view.calendar.time_zone), stage_days(limits, standing)),
        "slipping": (func.cardinality(standing.c.pushed_out_at), literal(limits.pushed_out)),
        "out_of_sync": (standing.c.buying_stage - standing.c.working_stage, literal(limits.out_of_sync_by)),
        "early_near_close": (standing.c.close_date - today, literal(limits.near_close_days)),
    }


def _with_stage(source: FromClause, standing: CTE) -> FromClause:
    return source.outerjoin(selling_stage, of_process(selling_stage, standing, standing.c.working_stage))


def stage_days(limits: AnomalyLimits, of: FromClause) -> ColumnElement[Any]:
    """How many days it may stand in its working stage, null: as long as it likes; needs the stage joined."""
    by_days: dict[int, list[tuple[str, str]]] = {}
    for limit in limits.stages:
        by_days.setdefault(limit.days, []).append((limit.process, limit.stage))
    others = literal(limits.other_stages_days, Integer) if limits.other_stages_days else null()
    if not by_days:
        return cast(others, Integer)
    stage = tuple_(of.c.process, selling_stage.c.code)
    return cast(case(*((stage.in_(stages), days) for days, stages in by_days.items()), else_=others), Integer)


def _big(limits: AnomalyLimits, of: FromClause) -> ColumnElement[bool]:
    return or_(
        literal(False),
        *(and_(of.c.currency == big.currency, of.c.amount_minor >= big.minor) for big in limits.big),
    )
