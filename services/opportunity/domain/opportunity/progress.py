"""Moving through the selling and the buying process (R1)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from services.opportunity.domain.commands import Command
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.process import SalesProcess, last_stage, synchrony, working_stage
from shared.contracts.event import Event
from shared.contracts.opportunity import (
    BuyingStageObserved,
    Code,
    CommitmentGiven,
    CommitmentRetracted,
    Evidence,
    MilestoneReached,
    MilestoneRetracted,
    Requirement,
    RiskDecided,
    SellingStage,
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
    action: Literal["retract_milestone"] = "retract_milestone"
    milestone: Code
    stage: int | None = Field(default=None, ge=1, le=40)
    reason: Text


class RetractCommitment(Command):
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
    action: Literal["buying_stage"] = "buying_stage"
    stage: int = Field(ge=1, le=40)
    evidence: Evidence


class DecideRisk(Command):
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
    stage = _stage(state, command.stage, process)
    _known(command.milestone, stage.milestones, "milestone", stage)
    if (stage.number, "milestone", command.milestone) in state.evidence:
        return []
    reached = MilestoneReached(
        stage=stage.number, milestone=command.milestone, evidence=_signed(command.evidence, now, actor)
    )
    if stage.number <= state.completed_stage or _lacking(state, stage, "milestone") - {command.milestone}:
        return [reached]
    entered = StageEntered(stage=stage.number)
    if _lacking(state, stage, "criterion") or not stage.criteria:
        return [reached, entered]
    return [reached, entered, *_completion(state, stage, process, reached.evidence)]


def decide_commitment(
    state: OpportunityState, command: GiveCommitment, process: SalesProcess, now: datetime, actor: str
) -> Sequence[Event]:
    """Completes the stage when it is the last criterion and the stage is entered: everything done *and* the commitment."""
    stage = _stage(state, command.stage, process)
    _known(command.criterion, stage.criteria, "criterion", stage)
    if (stage.number, "criterion", command.criterion) in state.evidence:
        return []
    given = CommitmentGiven(
        stage=stage.number, criterion=command.criterion, evidence=_signed(command.evidence, now, actor)
    )
    entered = not _lacking(state, stage, "milestone")
    if (
        stage.number <= state.completed_stage
        or not entered
        or _lacking(state, stage, "criterion") - {command.criterion}
    ):
        return [given]
    if state.entered_stage is None:  # a stage without milestones is entered by its first commitment
        return [given, StageEntered(stage=stage.number), *_completion(state, stage, process, given.evidence)]
    return [given, *_completion(state, stage, process, given.evidence)]


def decide_retract_milestone(
    state: OpportunityState, command: RetractMilestone, process: SalesProcess
) -> Sequence[Event]:
    stage = _stage(state, command.stage, process)
    _known(command.milestone, stage.milestones, "milestone", stage)
    _evidenced(state, stage, "milestone", command.milestone)
    retracted = MilestoneRetracted(stage=stage.number, milestone=command.milestone, reason=command.reason)
    if state.entered_stage == stage.number:
        return [retracted, StageLeft(stage=stage.number)]
    return [retracted, *_undone(state, stage, command.reason)]


def decide_retract_commitment(
    state: OpportunityState, command: RetractCommitment, process: SalesProcess
) -> Sequence[Event]:
    """Taking back what completed a stage takes the sale back to it; the milestones of that stage still stand."""
    stage = _stage(state, command.stage, process)
    _known(command.criterion, stage.criteria, "criterion", stage)
    _evidenced(state, stage, "criterion", command.criterion)
    retracted = CommitmentRetracted(stage=stage.number, criterion=command.criterion, reason=command.reason)
    undone = _undone(state, stage, command.reason)
    again = [StageEntered(stage=stage.number)] if undone and not _lacking(state, stage, "milestone") else []
    return [retracted, *undone, *again]


def decide_skip(state: OpportunityState, command: SkipStage, process: SalesProcess) -> Sequence[Event]:
    due = state.completed_stage + 1
    if command.stage != due or due > last_stage(process):
        raise _wrong_order(command.stage, state, process)
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
    again = process.selling[command.to_completed]
    entered = bool(again.milestones) and not _lacking(state, again, "milestone")
    return [regressed, StageEntered(stage=again.number)] if entered else [regressed]


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
    return [BuyingStageObserved(stage=command.stage, evidence=_signed(command.evidence, now, actor))]


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
        raise _wrong_order(command.completed_stage, state, process)
    evidence = _signed(Evidence(kind="asserted_at_migration", note=command.note), now, actor)
    events: list[Event] = []
    for stage in process.selling[state.completed_stage : command.completed_stage]:
        events += [
            MilestoneReached(stage=stage.number, milestone=code, evidence=evidence)
            for code in sorted(_lacking(state, stage, "milestone"))
        ]
        if state.entered_stage != stage.number:
            events.append(StageEntered(stage=stage.number))
        events += [
            CommitmentGiven(stage=stage.number, criterion=code, evidence=evidence)
            for code in sorted(_lacking(state, stage, "criterion"))
        ]
        events.append(StageCompleted(stage=stage.number))
    buying = min(command.completed_stage + 1, len(process.buying))
    if events and buying > state.buying_stage:
        events.append(BuyingStageObserved(stage=buying, evidence=evidence))
    return events


def _stage(state: OpportunityState, asked: int | None, process: SalesProcess) -> SellingStage:
    """The stage that evidence is about: never one that lies beyond the working stage."""
    number = asked or working_stage(state.completed_stage, process)
    if number > working_stage(state.completed_stage, process):
        raise _wrong_order(number, state, process)
    return process.selling[number - 1]


def _wrong_order(asked: int, state: OpportunityState, process: SalesProcess) -> Exception:
    due = working_stage(state.completed_stage, process)
    if asked > last_stage(process):
        return refuse(
            "unknown_stage",
            f"the process has no selling stage {asked}",
            field="stage",
            expected=f"1 to {last_stage(process)}",
            kind="input",
        )
    return refuse(
        "wrong_stage_order",
        f"stage {asked} cannot be worked on: {state.completed_stage} stages are completed, so stage {due} is next",
        field="stage",
        expected=f"{due}, or skip the stages between with a reason",
    )


def _known(code: str, required: Sequence[Requirement], what: str, stage: SellingStage) -> None:
    codes = [requirement.code for requirement in required]
    if code not in codes:
        raise refuse(
            f"unknown_{what}",
            f"stage {stage.number} ({stage.code}) has no {what} {code!r}",
            field=what,
            expected=", ".join(codes) or f"this stage has no {what}",
            kind="input",
        )


def _evidenced(
    state: OpportunityState, stage: SellingStage, kind: Literal["milestone", "criterion"], code: str
) -> None:
    if (stage.number, kind, code) not in state.evidence:
        raise refuse("not_evidenced", f"{kind} {code!r} of stage {stage.number} is not on record: nothing to retract")


def _lacking(state: OpportunityState, stage: SellingStage, kind: Literal["milestone", "criterion"]) -> set[str]:
    required = stage.milestones if kind == "milestone" else stage.criteria
    return {r.code for r in required if (stage.number, kind, r.code) not in state.evidence}


def _completion(state: OpportunityState, stage: SellingStage, process: SalesProcess, evidence: Evidence) -> list[Event]:
    """The commitment carries the sale into the customer's next buying stage (R1), unless the customer is there already."""
    events: list[Event] = [StageCompleted(stage=stage.number)]
    following = stage.number + 1
    if following <= len(process.buying) and state.buying_stage < following:
        events.append(BuyingStageObserved(stage=following, evidence=evidence))
    return events


def _undone(state: OpportunityState, stage: SellingStage, reason: str) -> list[Event]:
    if stage.number > state.completed_stage or stage.number in state.skipped:
        return []
    return [StageRegressed(from_completed=state.completed_stage, to_completed=stage.number - 1, reason=reason)]


def _signed(evidence: Evidence, now: datetime, actor: str) -> Evidence:
    return evidence.model_copy(update={"by": evidence.by or actor, "at": evidence.at or now})
