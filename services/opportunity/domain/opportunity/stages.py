"""What a stage asks for and still lacks, and what follows for the opportunity: the parts of the decisions about progress (R1)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.process import SalesProcess, last_stage, working_stage
from shared.contracts.event import Event
from shared.contracts.opportunity import (
    BuyingStageObserved,
    Evidence,
    Requirement,
    SellingStage,
    StageCompleted,
    StageEntered,
    StageRegressed,
)
from shared.contracts.refusal import RefusedError, refuse

Kind = Literal["milestone", "criterion"]
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(minutes=5)  # clocks differ a little


def stage_asked(state: OpportunityState, asked: int | None, process: SalesProcess) -> SellingStage:
    """The stage that evidence is about: never one that lies beyond the working stage."""
    number = asked or working_stage(state.completed_stage, process)
    if number > working_stage(state.completed_stage, process):
        raise wrong_order(number, state, process)
    return process.selling[number - 1]


def wrong_order(asked: int, state: OpportunityState, process: SalesProcess) -> RefusedError:
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


def check_known(code: str, required: Sequence[Requirement], what: str, stage: SellingStage) -> None:
    codes = [requirement.code for requirement in required]
    if code not in codes:
        raise refuse(
            f"unknown_{what}",
            f"stage {stage.number} ({stage.code}) has no {what} {code!r}",
            field=what,
            expected=", ".join(codes) or f"this stage has no {what}",
            kind="input",
        )


def check_evidenced(state: OpportunityState, stage: SellingStage, kind: Kind, code: str) -> None:
    if (stage.number, kind, code) not in state.evidence:
        raise refuse("not_evidenced", f"{kind} {code!r} of stage {stage.number} is not on record: nothing to retract")


def lacking(state: OpportunityState, stage: SellingStage, kind: Kind) -> set[str]:
    required = stage.milestones if kind == "milestone" else stage.criteria
    return {r.code for r in required if (stage.number, kind, r.code) not in state.evidence}


def completion(state: OpportunityState, stage: SellingStage, process: SalesProcess, evidence: Evidence) -> list[Event]:
    """The commitment carries the sale into the customer's next buying stage (R1), unless the customer is there already."""
    events: list[Event] = [StageCompleted(stage=stage.number)]
    following = stage.number + 1
    if following <= len(process.buying) and state.buying_stage < following:
        events.append(BuyingStageObserved(stage=following, evidence=evidence))
    return events


def undone_by(state: OpportunityState, stage: SellingStage, reason: str) -> list[Event]:
    if stage.number > state.completed_stage or stage.number in state.skipped:
        return []
    return [StageRegressed(from_completed=state.completed_stage, to_completed=stage.number - 1, reason=reason)]


def entered_again(state: OpportunityState, stage: SellingStage) -> list[Event]:
    """After a regression to before this stage, its milestones still stand, its commitments do not."""
    entered = bool(stage.milestones) and not lacking(state, stage, "milestone")
    return [StageEntered(stage=stage.number)] if entered else []


def check_evidence(evidence: Evidence | None, clock: datetime) -> None:
    """Refuses (kind input) evidence of what is still to come, and of what was before anybody kept records."""
    if evidence is None or evidence.at is None or EARLIEST <= evidence.at <= clock + AHEAD:
        return
    raise refuse(
        "impossible_date",
        f"evidence of {evidence.at.isoformat()} cannot be meant",
        field="evidence.at",
        expected=f"{EARLIEST.year} to now",
        kind="input",
    )


def signed(evidence: Evidence, now: datetime, actor: str) -> Evidence:
    return evidence.model_copy(update={"by": evidence.by or actor, "at": evidence.at or now})
