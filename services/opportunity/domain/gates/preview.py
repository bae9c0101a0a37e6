"""What the gates would say of everything that may be tried next: by the same function that says it when it is tried."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import get_args

from services.opportunity.domain.gates.evaluate import ActOn, Gates, Ruling, facts_now, rulings
from services.opportunity.domain.opportunity.stages import Kind, lacking
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.process import SalesProcess, last_stage
from shared.contracts.opportunity import Evidence
from shared.contracts.opportunity.gates import ConcessionKind

_FORESEEN = Evidence(note="foreseen")
_NEEDED: Mapping[str, tuple[Kind, ...]] = {
    "stage_entered": ("milestone",),
    "stage_completed": ("milestone", "criterion"),
}
CONCESSIONS: tuple[ConcessionKind, ...] = get_args(ConcessionKind)


def preview(state: OpportunityState, process: SalesProcess, gates: Gates) -> list[Ruling]:
    """Nothing of what has ended or rests. Of a concession nothing is known before it is made but what is agreed already."""
    if not state.exists or state.outcome != "open":
        return []
    found: list[Ruling] = []
    for act in _next(state, process):
        after = _with_evidence(_without(state, act), act, process)
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


def _with_evidence(state: OpportunityState, act: ActOn, process: SalesProcess) -> OpportunityState:
    """A stage is entered by its last milestone and completed by its last commitment: then all of them are on record."""
    kinds = _NEEDED.get(act.act, ())
    if act.stage is None or not kinds:
        return state
    stage = process.selling[act.stage - 1]
    foreseen = {(stage.number, kind, code): _FORESEEN for kind in kinds for code in lacking(state, stage, kind)}
    return replace(state, evidence=MappingProxyType({**state.evidence, **foreseen}))
