"""Ending, resting, coming back (R1: outcomes are not stages)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from services.opportunity.domain.commands import Command
from services.opportunity.domain.opportunity.stages import entered_again
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.opportunity.terms import checked_amount
from services.opportunity.domain.process import SalesProcess, last_stage
from shared.contracts.event import Event
from shared.contracts.opportunity import (
    Evidence,
    OpportunityAbandoned,
    OpportunityLost,
    OpportunityPaused,
    OpportunityReopened,
    OpportunityResumed,
    OpportunityWon,
    StageRegressed,
    Text,
)
from shared.contracts.refusal import refuse
from shared.kit.money import Money


class Win(Command):
    """`amount`: what the contract is worth; default: the amount on record."""

    action: Literal["win"] = "win"
    amount: Money | None = None
    evidence: Evidence


class Lose(Command):
    """Somebody else got it, or the need is gone: why, to whom, and for what price as far as it is known."""

    action: Literal["lose"] = "lose"
    reason: Text
    competitor: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[^\x00]+$")
    price: Money | None = None


class Abandon(Command):
    """We give it up, and why."""

    action: Literal["abandon"] = "abandon"
    reason: Text


class Pause(Command):
    """It rests, and why: it stays in the pipeline, and no step is taken until it is resumed."""

    action: Literal["pause"] = "pause"
    reason: Text


class Resume(Command):
    """It goes on where it was paused."""

    action: Literal["resume"] = "resume"


class Reopen(Command):
    """It comes back where it was, and why; what was won comes back without the signature, before its last stage."""

    action: Literal["reopen"] = "reopen"
    reason: Text


def decide_win(
    state: OpportunityState, command: Win, process: SalesProcess, now: datetime, actor: str
) -> Sequence[Event]:
    """Won is who has the signature: every stage is completed, or was skipped with a reason."""
    if state.completed_stage < last_stage(process):
        due = process.selling[state.completed_stage]
        raise refuse(
            "stages_missing",
            f"{state.completed_stage} of {last_stage(process)} stages are completed; {due.code} is next",
            expected=f"complete stages {due.number} to {last_stage(process)}, or skip them with a reason, then win",
        )
    evidence = command.evidence.model_copy(
        update={"by": command.evidence.by or actor, "at": command.evidence.at or now}
    )
    if command.amount is not None:
        checked_amount(command.amount)
    return [OpportunityWon(amount=command.amount or state.amount, evidence=evidence)]


def decide_lose(_: OpportunityState, command: Lose, __: datetime) -> Sequence[Event]:
    if command.price is not None:
        checked_amount(command.price, "price")
    return [OpportunityLost(reason=command.reason, competitor=command.competitor, price=command.price)]


def decide_abandon(_: OpportunityState, command: Abandon, __: datetime) -> Sequence[Event]:
    return [OpportunityAbandoned(reason=command.reason)]


def decide_pause(_: OpportunityState, command: Pause, __: datetime) -> Sequence[Event]:
    return [OpportunityPaused(reason=command.reason)]


def decide_resume(state: OpportunityState, _: Resume, __: datetime) -> Sequence[Event]:
    if state.outcome != "paused":
        raise refuse("not_paused", f"the opportunity is {state.outcome}; only a paused one is resumed")
    return [OpportunityResumed()]


def decide_reopen(state: OpportunityState, command: Reopen, process: SalesProcess) -> Sequence[Event]:
    """What was lost or abandoned comes back where it was. What was won comes back without the signature: it stands before the
    last stage again, whose commitments are void."""
    if not state.closed:
        raise refuse("not_closed", f"the opportunity is {state.outcome}; only a won, lost or abandoned one is reopened")
    reopened = OpportunityReopened(reason=command.reason)
    last = last_stage(process)
    if state.outcome != "won" or state.completed_stage < last:
        return [reopened]
    unsigned = StageRegressed(from_completed=last, to_completed=last - 1, reason=command.reason)
    return [reopened, unsigned, *entered_again(state, process.selling[-1])]
