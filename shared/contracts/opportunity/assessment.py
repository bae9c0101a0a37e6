"""Assessing opportunities (R4): the model, every version a fact (stream `assessment_model-<key>`); what an opportunity scored, and
what was spent on it (stream `opportunity-<id>`)."""

from typing import Literal

from pydantic import Field

from shared.contracts.event import Event
from shared.contracts.opportunity.contract import CONTRACT, Code, Names, Text
from shared.contracts.opportunity.process import Part

Priority = Literal["A", "B", "C", "D"]
AssessmentDecision = Literal["pursue", "lower_effort", "drop"]


class Factor(Part):
    """What is scored, and how much it weighs among the others."""

    code: Code
    names: Names
    weight: int = Field(ge=1, le=1_000)


class PriorityRule(Part):
    """Who has the priority: closes within so many days (none: whenever, also when nobody knows), and the middle of the
    probability range is at least `probability_from` per cent. `deserves`: its share of all effort, in per cent."""

    priority: Priority
    closes_within_days: int | None = Field(default=None, ge=0, le=3_650)
    probability_from: int = Field(default=0, ge=0, le=100)
    deserves: int = Field(ge=0, le=100)


@CONTRACT.event("opportunity.assessment_model_defined", stream="assessment_model")
class AssessmentModelDefined(Event):
    """A version of the model. `threshold`: the weighted average, in hundredths of a point, below which a decision is due.
    `priorities` from the first on: the first rule that fits counts, and the last one takes the rest."""

    key: Code
    version: int = Field(ge=1)
    factors: tuple[Factor, ...] = Field(min_length=1, max_length=40)
    highest_score: int = Field(default=5, ge=1, le=100)
    threshold: int = Field(ge=0, le=10_000)
    priorities: tuple[PriorityRule, ...] = Field(min_length=4, max_length=4)


@CONTRACT.event("opportunity.assessed")
class OpportunityAssessed(Event):
    """Scored under a version of the model. `total`: the weighted average in hundredths of a point. `decision`: what is made of
    it, always there below the `threshold`."""

    model_version: int = Field(ge=1)
    scores: dict[Code, int] = Field(examples=[{"funding": 4, "relationship": 2}])
    total: int = Field(ge=0)
    threshold: int = Field(ge=0)
    decision: AssessmentDecision | None = None
    reason: Text | None = None


@CONTRACT.event("opportunity.effort_spent")
class EffortSpent(Event):
    """Visits and working time that went into the opportunity; negative: what was said too much before."""

    visits: int = Field(default=0, ge=-500, le=500, examples=[1])
    minutes: int = Field(default=0, ge=-100_000, le=100_000, examples=[90])
    note: Text | None = None
