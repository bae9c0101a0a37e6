"""What an opportunity scores under the model, and what is made of it when that is too little (R4)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from services.opportunity.domain.assessment.model import AssessmentModel
from services.opportunity.domain.commands import Command
from services.opportunity.domain.opportunity.state import OpportunityState, late
from shared.contracts.event import Event
from shared.contracts.opportunity import AssessmentDecision, Code, OpportunityAssessed, Text
from shared.contracts.refusal import Reason, RefusedError, refuse


class Assess(Command):
    """A score for every factor of the latest model. Below its threshold: what is made of it, and why."""

    action: Literal["assessment"] = "assessment"
    scores: dict[Code, int] = Field(min_length=1, max_length=40)
    decision: AssessmentDecision | None = None
    reason: Text | None = None


def weighted_total(scores: Mapping[str, int], model: AssessmentModel) -> int:
    """The weighted average in hundredths of a point, halves rounded up: whole numbers all the way."""
    weights = sum(factor.weight for factor in model.factors)
    points = sum(factor.weight * scores[factor.code] for factor in model.factors)
    return (2 * 100 * points + weights) // (2 * weights)


def decide_assess(state: OpportunityState, command: Assess, model: AssessmentModel, at: datetime) -> Sequence[Event]:
    """Refuses (kind input) scores that do not fit the model, all at once; and a poor total without a decision. Nothing to do when
    the latest assessment says the same."""
    if faults := _misfits(command.scores, model):
        raise RefusedError(tuple(faults), "input")
    total = weighted_total(command.scores, model)
    poor = f"{total / 100:.2f} points lie below the threshold of {model.threshold / 100:.2f}"
    if total < model.threshold and command.decision is None:
        raise refuse("decision_missing", poor, field="decision", expected="pursue, lower_effort or drop, with a reason")
    if command.decision is not None and command.reason is None:
        raise refuse(
            "reason_missing", f"nobody says why to {command.decision}", field="reason", expected="why", kind="input"
        )
    assessed = OpportunityAssessed(
        model_version=model.version, total=total, threshold=model.threshold,
        **command.model_dump(include={"scores", "decision", "reason"}),
    )  # fmt: skip
    return [] if assessed == state.assessment and not late(state, "assessment", at) else [assessed]


def _misfits(scores: Mapping[str, int], model: AssessmentModel) -> Sequence[Reason]:
    codes, scale = [factor.code for factor in model.factors], f"0 to {model.highest_score}"
    faults = [
        Reason("score_missing", f"{code} has no score", f"scores.{code}", scale) for code in codes if code not in scores
    ]
    for code, score in scores.items():
        if code not in codes:
            said = f"version {model.version} of the model has no factor {code!r}"
            faults.append(Reason("unknown_factor", said, f"scores.{code}", ", ".join(codes)))
        elif not 0 <= score <= model.highest_score:
            faults.append(Reason("score_off_scale", f"{score} for {code} is off the scale", f"scores.{code}", scale))
    return faults
