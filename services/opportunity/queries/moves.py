"""What each step did to the pipeline: the chain of states of every opportunity on a clock, and the moves that its steps are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, FromClause, String, Subquery, and_, case, cast, func, literal, or_, select
from sqlalchemy.dialects.postgresql import array

from services.opportunity.projections.organisation import account
from services.opportunity.projections.processes import buying_stage, definition
from services.opportunity.projections.timeline import span
from services.opportunity.queries.moment import FOREVER, OPEN, known, of_definition, of_process
from services.opportunity.queries.view import View, narrowed, visible, whose

Clock = Literal["business", "knowledge"]
PartBy = Literal["owner", "team", "account", "process"]
Bar = Literal[
    "new", "up", "down", "pulled_in", "moved_in", "pushed_out", "moved_out", "reopened", "lost", "abandoned", "won"
]
SIGNS: Mapping[Bar, int] = {
    "new": 1, "up": 1, "down": -1, "pulled_in": 1, "moved_in": 1, "pushed_out": -1, "moved_out": -1, "reopened": 1,
    "lost": -1, "abandoned": -1, "won": -1,
}  # fmt: skip
PART_COLUMNS: Mapping[PartBy, str] = {
    "owner": "owner_id", "team": "team_id", "account": "account_id", "process": "process",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Between:
    """After `start`, up to and with `end`; None is the latest. On the clock of business: as known at `known_at`."""

    clock: Clock
    start: datetime | None
    end: datetime | None
    known_at: datetime | None = None

    def at_start(self, view: View) -> View:
        return self._at(view, self.start)

    def at_end(self, view: View) -> View:
        return self._at(view, self.end)

    def _at(self, view: View, moment: datetime | None) -> View:
        standing = replace(view.filters, outcome=OPEN)
        if self.clock == "business":
            return replace(view, filters=standing, as_of=moment, known_at=self.known_at)
        return replace(view, filters=standing, as_of=None, known_at=moment)


def _chain(view: View, between: Between, by: PartBy | None) -> Subquery:
    """Every state that held between the moments, and the one that it followed (`was_…`; null where the chain begins).

    `fits`: the filters but for the period, `due`: the period, `part`: what it is told apart by.
    """
    source, belongs = whose(view.belonging)
    source = (
        source.outerjoin(buying_stage, of_process(buying_stage, span, span.c.buying_stage))
        .outerjoin(definition, of_definition(span))
        .outerjoin(account, account.c.account_id == belongs["account_id"])
    )
    begins, ends, held = _on(between)
    undated = replace(view, filters=replace(view.filters, closing=None, outcome=()))
    due = literal(True) if view.filters.closing is None else span.c.close_date.between(*view.filters.closing)
    columns = {**belongs, "process": span.c.process}
    part = columns[PART_COLUMNS[by]] if by else literal(None, String())
    told: dict[str, ColumnElement[Any]] = {
        "standing": span.c.outcome.in_(OPEN),
        "fits": func.coalesce(and_(literal(True), *narrowed(undated, belongs)), False),
        "due": func.coalesce(due, False),
        "part": cast(part, String),
        "amount": func.coalesce(span.c.amount_minor, 0),
        "currency": span.c.currency,
    }
    before = {
        f"was_{name}": func.lag(value).over(partition_by=span.c.opportunity_id, order_by=begins)
        for name, value in told.items()
    }
    since = ends == FOREVER if between.start is None else ends > between.start
    until = literal(True) if between.end is None else begins <= between.end
    return (
        select(
            span.c.opportunity_id,
            span.c.name,
            begins.label("at"),
            span.c.outcome,
            *(value.label(name) for name, value in columns.items()),
            *(value.label(name) for name, value in (told | before).items()),
        )
        .select_from(source)
        .where(held, since, until, visible(view.scope))
        .subquery("chain")
    )


def _on(between: Between) -> tuple[ColumnElement[Any], ColumnElement[Any], ColumnElement[bool]]:
    """(when a state begins on the clock, when it ends, which states make up the chain)."""
    if between.clock == "business":
        return span.c.valid_from, span.c.valid_to, known(span, between.known_at)
    return span.c.known_from, span.c.known_to, span.c.valid_to == FOREVER


def moves(view: View, between: Between, by: PartBy | None) -> Subquery:
    """What the steps did, one row each, up to three for a step: `place` (in order), bar, currency, part, minor, number.

    Each kind of move has its place in `told`, and a step those of the moves that it made: the database unfolds fifteen thousand
    short arrays in a tenth of the time that it takes for a lateral join with a list of values.
    """
    chain = _chain(view, between, by)
    after = literal(False) if between.start is None else chain.c.at > between.start
    made = _classified(chain).made
    placed = func.unnest(func.array_remove(array(made), None)).label("place")
    step = select(chain, placed).where(after).subquery("step")
    told = _classified(step).moves  # the same, in terms of what was unfolded

    def of_move(name: str) -> ColumnElement[Any]:
        said = {place.value: getattr(move, name) for place, move in told.items()}
        return case(said, value=step.c.place).label(name)

    names = ("opportunity_id", "name", "at", "owner_id", "team_id", "account_id", "process", "place")
    return select(*(step.c[name] for name in names), *map(of_move, Move._fields)).subquery("moved")


class Place(IntEnum):
    """Every kind of move, in the order in which a step is told; it stands in the cursors of the list of steps."""

    NEW = 0
    REOPENED = 1
    OUT = 2
    DOWN = 3
    UP = 4
    OUT_OF_CURRENCY = 5
    IN = 6
    INTO_CURRENCY = 7
    ENDED = 8


class Move(NamedTuple):
    """`minor`, `number`: what it adds to the money and to the number."""

    bar: ColumnElement[Any]
    currency: ColumnElement[Any]
    part: ColumnElement[Any]
    minor: ColumnElement[Any]
    number: ColumnElement[Any]


class Classified(NamedTuple):
    """`made`: the places of the up to three moves that a step made; null where it made none."""

    moves: Mapping[Place, Move]
    made: Sequence[ColumnElement[Any]]


def _classified(step: FromClause) -> Classified:
    """The one place that says what a step did.

    With s standing, m member before (0) and after (1), v the amount: born as member: new +v1 · ended → standing as member:
    reopened +v1 · came in while standing, or as it ended: in +v1 · went out: out −v0 · stayed member: up or down by v1 − v0, in
    another currency down v0 and up v1 · ended as member: −v1 under its outcome. A member of another part comes from elsewhere.
    It was the close date that pulled in or pushed out when nothing else did.
    """
    c = step.c
    born = c.was_standing.is_(None)
    stood = func.coalesce(c.was_standing, False)
    alike = c.was_part.is_not_distinct_from(c.part)
    member, was_member = and_(c.fits, c.due), and_(stood, c.was_fits, c.was_due)
    stayed, priced = and_(was_member, member, alike), c.was_currency.is_not_distinct_from(c.currency)
    came_in = case((and_(alike, c.was_fits), "pulled_in"), else_="moved_in")
    went_out = case((and_(alike, c.fits), "pushed_out"), else_="moved_out")
    now, before = (c.currency, c.part), (c.was_currency, c.was_part)
    changed, none, one = c.amount - c.was_amount, literal(0), literal(1)
    moves = {
        Place.NEW: Move(literal("new"), *now, c.amount, one),
        Place.REOPENED: Move(literal("reopened"), *now, c.amount, one),
        Place.OUT: Move(went_out, *before, -c.was_amount, -one),
        Place.DOWN: Move(literal("down"), *now, changed, none),
        Place.UP: Move(literal("up"), *now, changed, none),
        Place.OUT_OF_CURRENCY: Move(literal("down"), *before, -c.was_amount, -one),
        Place.IN: Move(came_in, *now, c.amount, one),
        Place.INTO_CURRENCY: Move(literal("up"), *now, c.amount, one),
        Place.ENDED: Move(c.outcome, *now, -c.amount, -one),
    }
    made = (
        _first(
            (and_(born, member), Place.NEW),
            (and_(~born, ~stood, c.standing, member), Place.REOPENED),
            (and_(was_member, ~stayed), Place.OUT),
            (and_(stayed, priced, c.amount < c.was_amount), Place.DOWN),
            (and_(stayed, priced, c.amount > c.was_amount), Place.UP),
            (and_(stayed, ~priced), Place.OUT_OF_CURRENCY),
        ),
        _first((and_(stood, member, ~stayed), Place.IN), (and_(stayed, ~priced), Place.INTO_CURRENCY)),
        _first((and_(~c.standing, member, or_(born, stood)), Place.ENDED)),
    )
    return Classified(moves, made)


def _first(*chances: tuple[ColumnElement[bool], Place]) -> ColumnElement[Any]:
    return case(*((when, place.value) for when, place in chances))
