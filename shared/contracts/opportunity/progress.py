"""How an opportunity moves through the two processes (R1): stream `opportunity-<id>`."""

from typing import Literal

from pydantic import Field

from shared.contracts.event import Event
from shared.contracts.opportunity.contract import CONTRACT, Code, Evidence, Text


@CONTRACT.event("opportunity.milestone_reached")
class MilestoneReached(Event):
    """Something we must have done to have entered the stage is done."""

    stage: int = Field(ge=1)
    milestone: Code
    evidence: Evidence


@CONTRACT.event("opportunity.milestone_retracted")
class MilestoneRetracted(Event):
    stage: int = Field(ge=1)
    milestone: Code
    reason: Text


@CONTRACT.event("opportunity.commitment_given")
class CommitmentGiven(Event):
    """The customer committed to what a success criterion of the stage asks for."""

    stage: int = Field(ge=1)
    criterion: Code
    evidence: Evidence


@CONTRACT.event("opportunity.commitment_retracted")
class CommitmentRetracted(Event):
    stage: int = Field(ge=1)
    criterion: Code
    reason: Text


@CONTRACT.event("opportunity.stage_entered")
class StageEntered(Event):
    """All milestones of the stage are there."""

    stage: int = Field(ge=1)


@CONTRACT.event("opportunity.stage_left")
class StageLeft(Event):
    """The stage is no longer entered: one of its milestones was retracted."""

    stage: int = Field(ge=1)


@CONTRACT.event("opportunity.stage_completed")
class StageCompleted(Event):
    """Everything done and the customer's commitment given: the probability steps up."""

    stage: int = Field(ge=1)


@CONTRACT.event("opportunity.stage_skipped")
class StageSkipped(Event):
    """The stage counts as completed without its evidence, for a reason on record."""

    stage: int = Field(ge=1)
    reason: Text


@CONTRACT.event("opportunity.stage_regressed")
class StageRegressed(Event):
    """The sale went back: only stages up to `to_completed` count as completed; the evidence of later ones is void."""

    from_completed: int = Field(ge=0)
    to_completed: int = Field(ge=0)
    reason: Text


@CONTRACT.event("opportunity.buying_stage_observed")
class BuyingStageObserved(Event):
    """The customer stands in this stage of its own process."""

    stage: int = Field(ge=1)
    evidence: Evidence


@CONTRACT.event("opportunity.risk_decided")
class RiskDecided(Event):
    """Selling lags far behind buying: the decision to catch up or to give up."""

    decision: Literal["catch_up", "give_up"]
    reason: Text
