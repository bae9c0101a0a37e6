"""Where an opportunity stands, what is missing, and what may be done: computed from the state and its process alone."""

from dataclasses import dataclass
from typing import Literal

from services.opportunity.domain.assessment import effort, scoring
from services.opportunity.domain.forecast.category import Forecast
from services.opportunity.domain.opportunity import concessions, files, outcome, progress, terms
from services.opportunity.domain.opportunity.decide import blocked
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.process import (
    SalesProcess,
    Synchrony,
    last_stage,
    probability,
    synchrony,
    working_stage,
)


@dataclass(frozen=True, slots=True)
class Missing:
    """A milestone or criterion of the working stage without evidence."""

    kind: Literal["milestone", "criterion"]
    code: str
    names: dict[str, str]


@dataclass(frozen=True, slots=True)
class Allowed:
    """An action, whether it may be done now, and if not, why not."""

    action: str
    allowed: bool
    why_not: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """Probabilities in per cent, 100 for won, 0 for lost and abandoned; `decision_due`: at risk, and nobody has decided to catch
    up or to give up (R1)."""

    completed_stage: int
    entered_stage: int | None
    working_stage: int
    buying_stage: int
    probability_low: int
    probability_high: int
    synchrony: Synchrony
    funnel_state: str
    decision_due: bool
    missing: tuple[Missing, ...]
    actions: tuple[Allowed, ...]


COMMANDS = (
    progress.ReachMilestone,
    progress.GiveCommitment,
    progress.RetractMilestone,
    progress.RetractCommitment,
    progress.ObserveBuyingStage,
    progress.SkipStage,
    progress.RegressStage,
    progress.DecideRisk,
    terms.ChangeAmount,
    terms.ChangeCloseDate,
    terms.AgreeLineItems,
    terms.AssignOwner,
    terms.AssignTeam,
    terms.AssignAccount,
    terms.Rename,
    terms.Comment,
    files.AttachFile,
    scoring.Assess,
    effort.SpendEffort,
    Forecast,
    concessions.GrantConcessions,
    outcome.Pause,
    outcome.Resume,
    outcome.Win,
    outcome.Lose,
    outcome.Abandon,
    outcome.Reopen,
)


def position(state: OpportunityState, process: SalesProcess) -> Position:
    low, high = _probability(state, process)
    standing = synchrony(process, state.completed_stage, state.buying_stage)
    return Position(
        completed_stage=state.completed_stage,
        entered_stage=state.entered_stage,
        working_stage=working_stage(state.completed_stage, process),
        buying_stage=state.buying_stage,
        probability_low=low,
        probability_high=high,
        synchrony=standing,
        funnel_state=process.buying[state.buying_stage - 1].funnel_state,
        decision_due=standing == "at_risk" and not state.closed and state.risk_decision is None,
        missing=missing(state, process),
        actions=tuple(_allowed(state, process, command) for command in COMMANDS),
    )


def _probability(state: OpportunityState, process: SalesProcess) -> tuple[int, int]:
    """What has ended is certain: the stages say how likely it was before."""
    if state.closed:
        return (100, 100) if state.outcome == "won" else (0, 0)
    return probability(process, state.completed_stage, state.entered_stage)


def missing(state: OpportunityState, process: SalesProcess) -> tuple[Missing, ...]:
    """What still has to be evidenced to complete the working stage; nothing when all stages are completed."""
    if state.completed_stage >= last_stage(process):
        return ()
    stage = process.selling[state.completed_stage]
    lacking = [Missing("milestone", r.code, r.names) for r in stage.milestones]
    lacking += [Missing("criterion", r.code, r.names) for r in stage.criteria]
    return tuple(one for one in lacking if (stage.number, one.kind, one.code) not in state.evidence)


def _allowed(state: OpportunityState, process: SalesProcess, command: type) -> Allowed:
    action = command.model_fields["action"].default  # type: ignore[attr-defined]
    refusal = blocked(state, command)
    why_not = refusal.reasons[0].message if refusal else _why_not(state, process, command)
    return Allowed(action, why_not is None, why_not)


def _why_not(state: OpportunityState, process: SalesProcess, command: type) -> str | None:
    completed_all = state.completed_stage >= last_stage(process)
    evidenced = {kind for _, kind, _ in state.evidence}
    rules: dict[type, tuple[bool, str]] = {
        outcome.Win: (completed_all, "stages are missing"),
        outcome.Resume: (state.outcome == "paused", "it is not paused"),
        outcome.Reopen: (state.closed, "it has not ended"),
        progress.SkipStage: (not completed_all, "all stages are completed"),
        progress.RegressStage: (state.completed_stage > 0, "no stage is completed"),
        progress.RetractMilestone: ("milestone" in evidenced, "no milestone is on record"),
        progress.RetractCommitment: ("criterion" in evidenced, "no commitment is on record"),
        progress.DecideRisk: (
            synchrony(process, state.completed_stage, state.buying_stage) == "at_risk",
            "it is not at risk",
        ),
    }
    allowed, why_not = rules.get(command, (True, ""))
    return None if allowed else why_not
