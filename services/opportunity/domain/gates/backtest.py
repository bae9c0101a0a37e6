"""What a rule would have done to what is on record: every act that it guards, decided again against the state just before it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

import orjson

from services.opportunity.domain.gates.evaluate import ActOn, Gates, rulings_of
from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from services.opportunity.domain.process import SalesProcess
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import Lacking

Processes = Mapping[tuple[str, int], SalesProcess]
MOST_ROWS, MOST_BYTES = 5_000, 4 * 1024 * 1024  # that a result keeps; the figures count all


@dataclass(frozen=True, slots=True)
class Met:
    """An act on record that the rule guards; `fires`: it would have warned of it, or not let it pass."""

    act: ActOn
    at: datetime
    fires: bool
    lacking: tuple[Lacking, ...]


def replay(
    history: Sequence[Recorded[Any]], processes: Processes, gates: Gates, since: datetime | None, until: datetime | None
) -> tuple[list[Met], OpportunityState]:
    """What one opportunity met within [since, until) of business time, and how it stands at the end of its history.

    What was recorded together for one moment counts as one command. Waivers are passed over: they were given to another rule, or
    would not have been needed.
    """
    state, met = INITIAL, list[Met]()
    for at, together in _commands(history):
        events = [one.event for one in together]
        process = processes.get((state.process, state.process_version))
        if process is not None and (since is None or at >= since) and (until is None or at < until):
            met += [
                Met(one.act, at, one.verdict != "passes", one.lacking)
                for one in rulings_of(state, events, process, gates, at)
            ]
        for one in together:
            state = evolve(state, one)
    return met, state


def _commands(history: Sequence[Recorded[Any]]) -> Iterator[tuple[datetime, list[Recorded[Event]]]]:
    """An opening is apart: before it there is no process to judge by."""

    def together(one: Recorded[Any]) -> tuple[Any, ...]:
        return one.correlation_id, one.recorded_at, one.occurred_at, one.version == 1

    for (_, _, at, _), group in groupby(history, together):
        yield at, list(group)


@dataclass
class Side:
    """Opportunities on one side of a rule, by how they stand: outcome → currency (none: no amount known) → [count, minor]."""

    acts: int = 0
    opportunities: int = 0
    outcomes: dict[str, dict[str, list[int]]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, acts: int, state: OpportunityState) -> None:
        self.acts += acts
        self.opportunities += 1
        currency, minor = (state.amount.currency, state.amount.minor) if state.amount is not None else ("none", 0)
        sums = self.outcomes[state.outcome].setdefault(currency, [0, 0])
        sums[0] += 1
        sums[1] += minor


@dataclass
class Tally:
    """`looked_at` opportunities; those that the rule would have fired on, and those that met it and passed."""

    looked_at: int = 0
    fired: Side = field(default_factory=Side)
    passed: Side = field(default_factory=Side)
    rows: list[dict[str, Any]] = field(default_factory=list)
    rows_left_out: int = 0
    size: int = 0  # bytes of the rows, as JSON

    def add(self, opportunity_id: str, met: Sequence[Met], state: OpportunityState) -> None:
        self.looked_at += 1
        if not met:
            return
        firing = [one for one in met if one.fires]
        (self.fired if firing else self.passed).add(len(firing or met), state)
        for one in firing:
            self._keep(_row(opportunity_id, one, state))

    def _keep(self, row: dict[str, Any]) -> None:
        """The first of them; once one is left out, all that follow are."""
        size = self.size + len(orjson.dumps(row))
        if self.rows_left_out or len(self.rows) >= MOST_ROWS or size > MOST_BYTES:
            self.rows_left_out += 1
            return
        self.rows.append(row)
        self.size = size

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "looked_at": self.looked_at,
            "fired": _side(self.fired),
            "passed": _side(self.passed),
            "rows": self.rows,
            "rows_left_out": self.rows_left_out,
        }


def _side(side: Side) -> dict[str, Any]:
    outcomes = {outcome: dict(sorted(sums.items())) for outcome, sums in sorted(side.outcomes.items())}
    return {"acts": side.acts, "opportunities": side.opportunities, "outcomes": outcomes}


def _row(opportunity_id: str, met: Met, state: OpportunityState) -> dict[str, Any]:
    return {
        "opportunity_id": opportunity_id,
        "name": state.name,
        "act": met.act.act,
        "stage": met.act.stage,
        "at": met.at.isoformat(),
        "lacking": [one.model_dump(mode="json") for one in met.lacking],
        "outcome": state.outcome,
        "amount": None if state.amount is None else state.amount.model_dump(mode="json"),
    }
