"""Which opportunities, as they were when, as known when: the part that every question shares."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, FromClause, Select, String, and_, case, cast, func, literal, or_, select, true
from sqlalchemy.sql.selectable import Subquery
from sqlalchemy.sql.util import find_tables

from services.opportunity.projections.organisation import account
from services.opportunity.projections.processes import buying_stage, definition, selling_stage
from services.opportunity.projections.timeline import span
from services.opportunity.queries.cohort import Cohort, Stay, entries, stays
from services.opportunity.queries.moment import (
    CLOSED,
    OPEN,
    Due,
    decision_due,
    due,
    forecast_category,
    holds,
    judged,
    judged_close,
    judged_currency,
    of_definition,
    of_process,
    synchrony,
    with_probability,
    working_stage,
)
from services.opportunity.queries.priority import LATEST_MODEL, priority
from services.opportunity.queries.scope import subtree
from shared.kit.calendar import BusinessCalendar
from shared.kit.search import terms
from shared.service.visibility import Scope

Belonging = Literal["then", "now"]
WORK_LIST: Belonging = "now"
RESULT: Belonging = "then"
"""The defaults of lists and boards, and of everything that is counted as somebody's achievement."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Every field narrows; empty ones do not. None among the values: those without any.

    `stage`: numbers or codes of the working stage. `account` includes the account's whole subtree, `only_account` does not.
    `closed_from`/`closed_before`: ended within [from, before). `closing`: expected to close within these days, both included;
    `closes_in`: within all of these (None: without a close date).
    `due`: open or paused, and the close date is to come, over, or unknown. `judged_closing`: open or paused, and judged to close
    within these days; `judged_currency`: what it is then worth. `cohort`, `stay`: what a figure of the funnel counts, so that it
    can be listed.
    """

    owner: tuple[str | None, ...] = ()
    team: tuple[str | None, ...] = ()
    account: tuple[str | None, ...] = ()
    only_account: tuple[str | None, ...] = ()
    process: tuple[str, ...] = ()
    stage: tuple[int | str, ...] = ()
    state: tuple[str, ...] = ()
    synchrony: tuple[str, ...] = ()
    decision_due: bool | None = None
    priority: tuple[str | None, ...] = ()
    forecast: tuple[str | None, ...] = ()
    outcome: tuple[str, ...] = ()
    currency: tuple[str | None, ...] = ()
    reason: tuple[str | None, ...] = ()
    competitor: tuple[str | None, ...] = ()
    flag: tuple[str, ...] = ()
    q: str = ""
    updated_after: datetime | None = None
    closed_from: datetime | None = None
    closed_before: datetime | None = None
    closing: tuple[date, date] | None = None
    closes_in: tuple[tuple[date, date] | None, ...] = ()
    due: Due | None = None
    judged_closing: tuple[date, date] | None = None
    judged_currency: tuple[str, ...] = ()
    cohort: Cohort | None = None
    stay: Stay | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A moment on both clocks, whose records may be seen, and which of them are asked for.

    `as_of`, `known_at`: None is the latest, so that no difference between clocks hides a fresh fact; `now` is what ages are
    counted to. `belonging` says whose an opportunity is when it is grouped or filtered by owner, team or account: *now*, or
    *then*: when it ended if it had by `as_of`, else at `as_of`; in a cohort, when it entered.
    """

    scope: Scope
    now: datetime
    as_of: datetime | None = None
    known_at: datetime | None = None
    filters: Filters = field(default_factory=Filters)
    belonging: Belonging = WORK_LIST
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)

    @property
    def at(self) -> datetime:
        """The moment that ages and days are counted to."""
        return self.as_of or self.now

    @property
    def today(self) -> date:
        return self.calendar.day_of(self.at)

    @property
    def latest(self) -> bool:
        return self.as_of is None and self.known_at is None


def visible(scope: Scope) -> ColumnElement[bool]:
    """Record-level visibility, by who owns the opportunity now: who handed a deal over does not keep a window into it."""
    if scope.everything:
        return literal(True)
    now = span.alias("visible_now")
    return span.c.opportunity_id.in_(select(now.c.opportunity_id).where(holds(now, None, None), _mine(now, scope)))


def _mine(of: FromClause, scope: Scope) -> ColumnElement[bool]:
    return or_(of.c.owner_id.in_(sorted(scope.people)), of.c.team_id.in_(sorted(scope.teams)))


def seen(view: View) -> Subquery:
    """The opportunities of a view, one row each, with probability range and funnel state from their sales process; what has
    ended is certain: 100 for won, 0 for lost and abandoned.

    Beside the columns of `span`: working_stage, owner_id, team_id, account_id by `belonging`, account_name, probability_low,
    probability_high, funnel_state, forecast (null: it ended, and was not won), priority (null: it has ended), synchrony,
    decision_due, sort_name.
    """
    source, belongs = whose(view.belonging, latest=view.latest)
    source, (completed, reached) = with_probability(source, span)
    source = (
        source.outerjoin(buying_stage, of_process(buying_stage, span, span.c.buying_stage))
        .outerjoin(definition, of_definition(span))
        .outerjoin(account, account.c.account_id == belongs["account_id"])
    )
    low, high = _unless_ended(completed), _unless_ended(reached)
    source = source.outerjoin(LATEST_MODEL, true())
    rank = priority(span, (low, high), view.today)
    statement = select(
        *(column for column in span.c if not column.name.endswith(("owner_id", "team_id", "account_id"))),
        working_stage(span).label("working_stage"),
        *(column.label(name) for name, column in belongs.items()),
        account.c.name.label("account_name"),
        low.label("probability_low"),
        high.label("probability_high"),
        buying_stage.c.funnel_state,
        forecast_category(span).label("forecast"),
        rank.label("priority"),
        synchrony(span).label("synchrony"),
        decision_due(span).label("decision_due"),
        # The same order on every machine, whatever the database's locale; the name is the first line of what is searched.
        func.split_part(span.c.search, "\n", 1).collate("C").label("sort_name"),
    ).select_from(source)
    ranked = [among(rank, view.filters.priority)] if view.filters.priority else []
    return statement.where(*_chosen(view, belongs), *ranked).subquery("seen")


def amounts(view: View) -> Subquery:
    """Currency and amount_minor of the opportunities of a view, joined only with what its filters speak of: an index may have all
    of it. (The planner would leave out the other joins, but still read the columns that they compare.)"""
    if view.filters.priority:  # wants the probability, which most of the joins are for
        rows = seen(view)
        return select(rows.c.currency, rows.c.amount_minor).subquery("amounts")
    source, belongs = whose(view.belonging, latest=view.latest)
    conditions = _chosen(view, belongs)
    spoken_of = {table for one in conditions for table in find_tables(one, check_columns=True)}
    if buying_stage in spoken_of:
        source = source.outerjoin(buying_stage, of_process(buying_stage, span, span.c.buying_stage))
    if definition in spoken_of:
        source = source.outerjoin(definition, of_definition(span))
    if account in spoken_of:
        source = source.outerjoin(account, account.c.account_id == belongs["account_id"])
    return select(span.c.currency, span.c.amount_minor).select_from(source).where(*conditions).subquery("amounts")


def _chosen(view: View, belongs: dict[str, ColumnElement[Any]]) -> list[ColumnElement[bool]]:
    mine = _mine(span, view.scope) if view.latest and not view.scope.everything else visible(view.scope)
    return [holds(span, view.as_of, view.known_at), mine, *narrowed(view, belongs)]


def _unless_ended(probability: ColumnElement[int]) -> ColumnElement[int]:
    return case((span.c.outcome == "won", 100), (span.c.outcome.in_(CLOSED), 0), else_=probability)


def among(column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Is the column one of the values? None among them: or has none."""
    some = [value for value in values if value is not None]
    parts = [column.in_(some)] if some else []
    return or_(*parts, column.is_(None)) if None in values else or_(*parts)


def held_by(filters: Filters, belongs: dict[str, ColumnElement[Any]]) -> list[ColumnElement[bool]]:
    """The filters by owner, team and account, applied to these columns."""
    found: list[ColumnElement[bool]] = []
    if filters.owner:
        found.append(among(belongs["owner_id"], filters.owner))
    if filters.team:
        found.append(among(belongs["team_id"], filters.team))
    if filters.only_account:
        found.append(among(belongs["account_id"], filters.only_account))
    if filters.account:
        tops = [one for one in filters.account if one is not None]
        within = belongs["account_id"].in_(subtree(account, "account_id", "parent_id", tops))
        found.append(or_(within, belongs["account_id"].is_(None)) if None in filters.account else within)
    return found


def whose(belonging: Belonging, *, latest: bool = False) -> tuple[FromClause, dict[str, ColumnElement[Any]]]:
    """(`span` joined with what says whose it is, the columns that say so). `latest`: only the latest spans are asked for."""
    names = ("owner_id", "team_id", "account_id")
    if belonging == "then":
        return span, {name: span.c[f"then_{name}"] for name in names}
    if latest:
        return span, {name: span.c[name] for name in names}
    now = span.alias("belongs_now")
    source = span.join(now, and_(now.c.opportunity_id == span.c.opportunity_id, holds(now, None, None)))
    return source, {name: now.c[name] for name in names}


def narrowed(view: View, belongs: dict[str, ColumnElement[Any]]) -> list[ColumnElement[bool]]:
    """The view's filters as conditions on `span`, joined with `buying_stage`, `definition` and the account that `belongs` names."""
    filters = view.filters
    in_cohort = _in_cohort(view, filters.cohort) if filters.cohort else []
    found = in_cohort if filters.cohort and view.belonging == "then" else [*in_cohort, *held_by(filters, belongs)]
    simple: tuple[tuple[ColumnElement[Any], Sequence[Any]], ...] = (
        (span.c.process, filters.process),
        (buying_stage.c.funnel_state, filters.state),
        (synchrony(span), filters.synchrony),
        (forecast_category(span), filters.forecast),
        (judged_currency(span), filters.judged_currency),
        (span.c.outcome, filters.outcome),
        (span.c.currency, filters.currency),
        (span.c.reason, filters.reason),
        (span.c.competitor, filters.competitor),
    )
    found += [among(column, values) for column, values in simple if values]
    if filters.stage:
        found.append(_stands_in(filters.stage))
    if filters.decision_due is not None:
        found.append(decision_due(span) if filters.decision_due else ~decision_due(span))
    if filters.flag:
        found.append(span.c.flags.overlap(list(filters.flag)))
    if filters.updated_after:
        found.append(span.c.updated_at > filters.updated_after)
    if filters.closed_from or filters.closed_before:
        found.append(span.c.outcome.in_(CLOSED))
    if filters.closed_from:
        found.append(span.c.outcome_since >= filters.closed_from)
    if filters.closed_before:
        found.append(span.c.outcome_since < filters.closed_before)
    if filters.closing:
        found.append(span.c.close_date.between(*filters.closing))
    for days in filters.closes_in:
        found.append(span.c.close_date.is_(None) if days is None else span.c.close_date.between(*days))
    if filters.due:
        found += [span.c.outcome.in_(OPEN), due(span.c.close_date, view.today)[filters.due]]
    if filters.judged_closing:
        found += [judged(span), span.c.outcome.in_(OPEN), judged_close(span).between(*filters.judged_closing)]
    if filters.stay:
        stood = stays(filters.stay.by, view.as_of, view.known_at, view.now, visible(view.scope))
        there = and_(cast(stood.c.place, String) == filters.stay.place, stood.c.running == filters.stay.running)
        found.append(span.c.opportunity_id.in_(select(stood.c.opportunity_id).where(there)))
    return [*found, *(_mentions(word) for word in terms(filters.q))]


def _stands_in(stages: Sequence[int | str]) -> ColumnElement[bool]:
    """Is the working stage one of these? A code may have another number in another version of its process."""
    numbers = [one for one in stages if isinstance(one, int)]
    codes = [one for one in stages if isinstance(one, str)]
    stage = selling_stage.alias("named")
    named = select(stage.c.code).where(of_process(stage, span, working_stage(span)), stage.c.code.in_(codes)).exists()
    return or_(working_stage(span).in_(numbers), named) if codes else working_stage(span).in_(numbers)


def _in_cohort(view: View, cohort: Cohort) -> list[ColumnElement[bool]]:
    entry = entries(cohort.by, view.as_of, view.known_at, cohort.start, cohort.end, visible(view.scope))
    members: Select[Any] = select(entry.c.opportunity_id).where(cast(entry.c.place, String) == cohort.place)
    if view.belonging == "then":
        members = members.where(*held_by(view.filters, dict(entry.c.items())))
    found: list[ColumnElement[bool]] = [span.c.opportunity_id.in_(members)]
    if cohort.went_on is not None:
        further = members.where(entry.c.next_at.is_not(None))
        went_on = or_(span.c.opportunity_id.in_(further), span.c.outcome == "won")
        found.append(went_on if cohort.went_on else ~went_on)
    return found


def _mentions(word: str) -> ColumnElement[bool]:
    # A substring, not a lexeme: Chinese is written without blanks, and no dictionary knows a customer's product names.
    return or_(*(column.contains(word, autoescape=True) for column in (span.c.search, account.c.search)))
