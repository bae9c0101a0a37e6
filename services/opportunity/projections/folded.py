"""Folding the facts of an opportunity in the order of business time; pure, but for remembering what has been folded."""

import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.opportunity.domain.opportunity.state import INITIAL, evolve
from services.opportunity.projections.spans import FOREVER, recorded, span_row
from shared.contracts.event import Recorded
from shared.projections.definition import Row, Rows

EPOCH = datetime(1, 1, 1, tzinfo=UTC)
REMEMBERED = 2_000  # opportunities: a batch touches no more


class Folded:
    """What was so of an opportunity after some of its facts, `fact` the last of them, and what followed from there: nothing has to
    be folded twice. `row`: the span that begins there, without its end; None before the opportunity exists.
    """

    __slots__ = ("end", "fact", "next", "row", "state", "then", "updated", "version")

    def __init__(self, fact: Row | None = None) -> None:
        self.fact = fact
        self.next: dict[str, Folded] = {}
        self.state = INITIAL
        self.then: Row = {}
        self.version, self.updated = 0, EPOCH
        self.row: Row | None = None
        self.end: End | None = None

    def after(self, fact: Row, e: Recorded[Any] | None = None) -> "Folded":
        """With one fact more, a row of `fact`; `e`: the same as an event, if there is one already."""
        known = self.next.get(fact["event_id"])
        if known is None or known.fact != fact:
            known = self.next[fact["event_id"]] = self._fold(fact, e or recorded(fact))
        return known

    def _fold(self, fact: Row, e: Recorded[Any]) -> "Folded":
        made = Folded(fact)
        made.state = evolve(self.state, e)
        made.version, made.updated = max(self.version, fact["version"]), max(self.updated, fact["recorded_at"])
        made.then = self.then
        if not (made.state.closed and self.state.closed):
            made.then = {f"then_{name}": getattr(made.state, name) for name in ("account_id", "owner_id", "team_id")}
        if made.state.exists:
            made.row = span_row(fact["opportunity_id"], made.state, fact["occurred_at"]) | made.then
            made.row |= {"version": made.version, "updated_at": made.updated}
        return made


@dataclass(frozen=True, slots=True)
class End:
    """Where an opportunity's facts end in business time, among these rows: `folded` through the last of them, `span` the row that
    begins there; None before the opportunity exists."""

    rows: weakref.ref[Rows]
    folded: Folded
    span: Row | None


_FOLDED: OrderedDict[str, Folded] = OrderedDict()
"""Opportunity → before its first fact; the least recently used give way."""


def beginning(opportunity_id: str) -> Folded:
    found = _FOLDED.get(opportunity_id)
    if found is None:
        found = _FOLDED[opportunity_id] = Folded()
        if len(_FOLDED) > REMEMBERED:
            _FOLDED.popitem(last=False)
    else:
        _FOLDED.move_to_end(opportunity_id)
    return found


def known_end(opportunity_id: str, rows: Rows) -> End | None:
    """As it was remembered of these very rows. What another batch left behind is not believed."""
    end = beginning(opportunity_id).end
    return end if end is not None and end.rows() is rows else None


def remember_end(opportunity_id: str, rows: Rows, folded: Folded, span: Row | None) -> None:
    beginning(opportunity_id).end = End(weakref.ref(rows), folded, span)


def chain(opportunity_id: str, history: Sequence[Row]) -> list[Folded]:
    """What was so after each fact. `history` in the order of business time."""
    folded = beginning(opportunity_id)
    return [folded := folded.after(fact) for fact in history]


def spans(folded: Sequence[Folded]) -> Iterator[Row]:
    """One span per moment at which something happened, from the moment of its birth on; facts of one moment make one span."""
    moments = [one.fact["occurred_at"] for one in folded if one.fact]
    for one, since, until in zip(folded, moments, [*moments[1:], FOREVER], strict=True):
        if one.row is not None and since < until:
            yield one.row | {"valid_to": until}
