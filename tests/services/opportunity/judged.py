"""A small assessment model and small limits, for the tests of how deals are judged."""

from services.opportunity.domain.anomalies.limits import DefineAnomalyLimits
from services.opportunity.domain.assessment.model import DefineAssessmentModel
from shared.contracts.opportunity import AnomalyLimitsDefined, AssessmentModelDefined, Factor, PriorityRule, StageLimit
from shared.kit.money import Money

RULES = (
    PriorityRule(priority="A", closes_within_days=30, probability_from=50, deserves=70),
    PriorityRule(priority="B", closes_within_days=90, probability_from=20, deserves=20),
    PriorityRule(priority="C", probability_from=10, deserves=10),
    PriorityRule(priority="D", deserves=0),
)
MODEL_FORM = DefineAssessmentModel(
    factors=(
        Factor(code="funding", names={"en": "Funding"}, weight=2),
        Factor(code="fit", names={"en": "Fit"}, weight=1),
    ),
    threshold=250,
    priorities=RULES,
)
MODEL = AssessmentModelDefined(key="default", version=1, **MODEL_FORM.model_dump(exclude={"occurred_at"}))
LIMITS_FORM = DefineAnomalyLimits(
    stages=(
        StageLimit(process="short", stage="stage_1", days=10),
        StageLimit(process="short", stage="stage_2", days=20),
    ),
    pushed_out=2,
    big=(Money(minor=500, currency="CNY"),),
    early_below=20,
    near_close_days=14,
    pile_up_count=3,
    pile_up_share=50,
    nothing_new_days=30,
)
LIMITS = AnomalyLimitsDefined(key="default", version=1, **LIMITS_FORM.model_dump(exclude={"occurred_at"}))
