"""What the gates would say of everything that may be tried next: by the same function that says it when it is tried."""

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import get_args

from services.opportunity.domain.gates.evaluate import ActOn, Gates, Ruling, facts_now, rulings
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.process import SalesProcess, last_stage
from shared.contracts.opportunity.gates import ConcessionKind

CONCESSIONS: tuple[ConcessionKind, ...] = get_args(ConcessionKind)


def preview(state: OpportunityState, process: SalesProcess, gates: Gates) -> list[Ruling]:
    """Nothing of what has ended or rests. Of a concession nothing is known before it is made but what is agreed already."""
    if not state.exists or state.outcome != "open":
        return []
    found: list[Ruling] = []
    for act in _next(state, process):
        after = _without(state, act)
        found += rulings(act, facts_now(state, after, process, gates, gates.now), state, process, gates)
    return found


def _next(state: OpportunityState, process: SalesProcess) -> Iterator[ActOn]:
    working = state.completed_stage + 1
    if working <= last_stage(process):
        if state.entered_stage != working:
            yield ActOn("stage_entered", working)
        yield ActOn("stage_completed", working)
        yield ActOn("stage_skipped", working)
    yield ActOn("win")
    for kind in CONCESSIONS:
        yield ActOn(kind)


def _without(state: OpportunityState, act: ActOn) -> OpportunityState:
    """The former word on a kind of concession is not the next one."""
    if act.act not in state.concessions:
        return state
    kept = {kind: granted for kind, granted in state.concessions.items() if kind != act.act}
    return replace(state, concessions=MappingProxyType(kept))
