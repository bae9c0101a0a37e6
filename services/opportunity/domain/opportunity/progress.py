"""Moving through the selling and the buying process (R1)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from services.opportunity.domain.commands import Command
from services.opportunity.domain.opportunity.stages import (
    check_evidenced,
    check_known,
    completion,
    entered_again,
    lacking,
    signed,
    stage_asked,
    undone_by,
    wrong_order,
)
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.process import SalesProcess, last_stage, synchrony
from shared.contracts.event import Event
from shared.contracts.opportunity import (
    BuyingStageObserved,
    Code,
    CommitmentGiven,
    CommitmentRetracted,
    Evidence,
    MilestoneReached,
    MilestoneRetracted,
    RiskDecided,
    StageCompleted,
    StageEntered,
    StageLeft,
    StageRegressed,
    StageSkipped,
    Text,
)
from shared.contracts.refusal import refuse


class ReachMilestone(Command):
    """`stage` defaults to the working stage."""

    action: Literal["milestone"] = "milestone"
    milestone: Code
    stage: int | None = Field(default=None, ge=1, le=40)
    evidence: Evidence


class GiveCommitment(Command):
    """The customer's commitment to a success criterion; `stage` defaults to the working stage."""

    action: Literal["commitment"] = "commitment"
    criterion: Code
    stage: int | None = Field(default=None, ge=1, le=40)
    evidence: Evidence


class RetractMilestone(Command):
    """What was evidenced does not hold: the milestone is open again. `stage` defaults to the working stage."""

    action: Literal["retract_milestone"] = "retract_milestone"
    milestone: Code
    stage: int | None = Field(default=None, ge=1, le=40)
    reason: Text


class RetractCommitment(Command):
    """The customer no longer stands by it: the criterion is open again. `stage` defaults to the working stage."""

    action: Literal["retract_commitment"] = "retract_commitment"
    criterion: Code
    stage: int | None = Field(default=None, ge=1, le=40)
    reason: Text


class SkipStage(Command):
    """Count the working stage as completed without its evidence."""

    action: Literal["skip"] = "skip"
    stage: int = Field(ge=1, le=40)
    reason: Text


class RegressStage(Command):
    """The sale goes back: only stages up to `to_completed` stay completed."""

    action: Literal["regression"] = "regression"
    to_completed: int = Field(ge=0, le=40)
    reason: Text


class ObserveBuyingStage(Command):
    """Where the customer stands in its own process, forwards or backwards; it decides the funnel state."""

    action: Literal["buying_stage"] = "buying_stage"
    stage: int = Field(ge=1, le=40)
    evidence: Evidence


class DecideRisk(Command):
    """Sales lags two stages or more behind the customer: catch up, or give up, and why."""

    action: Literal["risk_decision"] = "risk_decision"
    decision: Literal["catch_up", "give_up"]
    reason: Text


class AssertProgress(Command):
    """A live deal brought in from another system has these stages behind it; evidenced as `asserted_at_migration` (R1)."""

    action: Literal["assert_progress"] = "assert_progress"
    completed_stage: int = Field(ge=1, le=40)
    note: Text


def decide_milestone(
    state: OpportunityState, command: ReachMilestone, process: SalesProcess, now: datetime, actor: str
) -> Sequence[Event]:
    """Nothing to do when it is evidenced already. The stage is entered with its last milestone, and completed with it when
    the customer's commitments are there already."""
    stage = stage_asked(state, command.stage, process)
    check_known(command.milestone, stage.milestones, "milestone", stage)
    if (stage.number, "milestone", command.milestone) in state.evidence:
        return []
    reached = MilestoneReached(
        stage=stage.number, milestone=command.milestone, evidence=signed(command.evidence, now, actor)
    )
    if stage.number <= state.completed_stage or lacking(state, stage, "milestone") - {command.milestone}:
        return [reached]
    entered = StageEntered(stage=stage.number)
    if lacking(state, stage, "criterion") or not stage.criteria:
        return [reached, entered]
    return [reached, entered, *completion(state, stage, process, reached.evidence)]


def decide_commitment(
    state: OpportunityState, command: GiveCommitment, process: SalesProcess, now: datetime, actor: str
) -> Sequence[Event]:
    """Completes the stage when it is the last criterion and the stage is entered: everything done *and* the commitment.

    A stage that asks for no milestones is entered by its first commitment: nothing else shows that it was.
    """
    stage = stage_asked(state, command.stage, process)
    check_known(command.criterion, stage.criteria, "criterion", stage)
    if (stage.number, "criterion", command.criterion) in state.evidence:
        return []
    given = CommitmentGiven(
        stage=stage.number, criterion=command.criterion, evidence=signed(command.evidence, now, actor)
    )
    if stage.number <= state.completed_stage or lacking(state, stage, "milestone"):
        return [given]
    entered: list[Event] = [] if state.entered_stage == stage.number else [StageEntered(stage=stage.number)]
    if lacking(state, stage, "criterion") - {command.criterion}:
        return [given, *entered]
    return [given, *entered, *completion(state, stage, process, given.evidence)]


def decide_retract_milestone(
    state: OpportunityState, command: RetractMilestone, process: SalesProcess
) -> Sequence[Event]:
    stage = stage_asked(state, command.stage, process)
    check_known(command.milestone, stage.milestones, "milestone", stage)
    check_evidenced(state, stage, "milestone", command.milestone)
    retracted = MilestoneRetracted(stage=stage.number, milestone=command.milestone, reason=command.reason)
    if state.entered_stage == stage.number:
        return [retracted, StageLeft(stage=stage.number)]
    return [retracted, *undone_by(state, stage, command.reason)]


def decide_retract_commitment(
    state: OpportunityState, command: RetractCommitment, process: SalesProcess
) -> Sequence[Event]:
    """Taking back what completed a stage takes the sale back to it; the milestones of that stage still stand."""
    stage = stage_asked(state, command.stage, process)
    check_known(command.criterion, stage.criteria, "criterion", stage)
    check_evidenced(state, stage, "criterion", command.criterion)
    retracted = CommitmentRetracted(stage=stage.number, criterion=command.criterion, reason=command.reason)
    if state.entered_stage == stage.number and not stage.milestones:
        left = {key for key in state.evidence if key[0] == stage.number} == {
            (stage.number, "criterion", command.criterion)
        }
        return [retracted, StageLeft(stage=stage.number)] if left else [retracted]
    undone = undone_by(state, stage, command.reason)
    return [retracted, *undone, *entered_again(state, stage)] if undone else [retracted]


def decide_skip(state: OpportunityState, command: SkipStage, process: SalesProcess) -> Sequence[Event]:
    due = state.completed_stage + 1
    if command.stage != due or due > last_stage(process):
        raise wrong_order(command.stage, state, process)
    return [StageSkipped(stage=command.stage, reason=command.reason)]


def decide_regress(state: OpportunityState, command: RegressStage, process: SalesProcess) -> Sequence[Event]:
    if command.to_completed >= state.completed_stage:
        raise refuse(
            "not_backwards",
            f"{state.completed_stage} stages are completed; going back to {command.to_completed} is not going back",
            field="to_completed",
            expected=f"0 to {state.completed_stage - 1}" if state.completed_stage else "a completed stage first",
        )
    regressed = StageRegressed(
        from_completed=state.completed_stage, to_completed=command.to_completed, reason=command.reason
    )
    return [regressed, *entered_again(state, process.selling[command.to_completed])]


def decide_buying_stage(
    state: OpportunityState, command: ObserveBuyingStage, process: SalesProcess, now: datetime, actor: str
) -> Sequence[Event]:
    """The customer may go forwards and back as it likes; we observe."""
    if command.stage > len(process.buying):
        raise refuse(
            "unknown_stage",
            f"the process has no buying stage {command.stage}",
            field="stage",
            expected=f"1 to {len(process.buying)}",
            kind="input",
        )
    if command.stage == state.buying_stage:
        return []
    return [BuyingStageObserved(stage=command.stage, evidence=signed(command.evidence, now, actor))]


def decide_risk(state: OpportunityState, command: DecideRisk, process: SalesProcess) -> Sequence[Event]:
    standing = synchrony(process, state.completed_stage, state.buying_stage)
    if standing != "at_risk":
        raise refuse("not_at_risk", f"the opportunity is {standing}; only one that is at_risk needs this decision")
    if state.risk_decision == command.decision:
        return []
    return [RiskDecided(decision=command.decision, reason=command.reason)]


def decide_assert_progress(
    state: OpportunityState, command: AssertProgress, process: SalesProcess, now: datetime, actor: str
) -> Sequence[Event]:
    """Everything that the stages require, asserted; nothing to do for stages that are completed already."""
    if command.completed_stage > last_stage(process):
        raise wrong_order(command.completed_stage, state, process)
    evidence = signed(Evidence(kind="asserted_at_migration", note=command.note), now, actor)
    events: list[Event] = []
    for stage in process.selling[state.completed_stage : command.completed_stage]:
        events += [
            MilestoneReached(stage=stage.number, milestone=code, evidence=evidence)
            for code in sorted(lacking(state, stage, "milestone"))
        ]
        if state.entered_stage != stage.number:
            events.append(StageEntered(stage=stage.number))
        events += [
            CommitmentGiven(stage=stage.number, criterion=code, evidence=evidence)
            for code in sorted(lacking(state, stage, "criterion"))
        ]
        events.append(StageCompleted(stage=stage.number))
    buying = min(command.completed_stage + 1, len(process.buying))
    if events and buying > state.buying_stage:
        events.append(BuyingStageObserved(stage=buying, evidence=evidence))
    return events
