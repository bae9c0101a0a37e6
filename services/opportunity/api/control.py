"""How one opportunity is judged: its priority, its assessment, what was spent on it, what is abnormal about it; for its page."""

from datetime import date, datetime

from pydantic import BaseModel, Field

from services.opportunity import labels
from services.opportunity.api.anomalies import AnomalyItem, limits_in_force, told
from services.opportunity.api.asking import Asking
from services.opportunity.api.priorities import latest_model
from services.opportunity.api.rows import Coded, coded, coded_or_none
from services.opportunity.domain.anomalies.opportunity import anomalies_of
from services.opportunity.domain.assessment.model import AssessmentModel
from services.opportunity.domain.forecast.category import category
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.priority import priority
from services.opportunity.queries.page import OpportunityPage
from services.opportunity.queries.priorities import model_of
from shared.kit.money import Money
from shared.web.language import Language, label


class Score(Coded):
    """`weight` of the factor among the others."""

    score: int
    weight: int


class AssessmentItem(BaseModel):
    """The latest one. `total` and `threshold` in hundredths of a point; `below`: the total is, so a decision was due."""

    model_version: int
    assessed_at: datetime
    scores: list[Score]
    total: int
    threshold: int
    below: bool
    decision: Coded | None
    reason: str | None


class ForecastItem(BaseModel):
    """`chosen`: somebody said the category; else it is that of the funnel state."""

    category: Coded
    chosen: bool


class JudgementItem(BaseModel):
    """What a manager expects instead, null where it does not differ. `by`: a login."""

    amount: Money | None
    close_date: date | None
    note: str | None
    by: str
    at: datetime


class DealControl(BaseModel):
    """`priority` null: it has ended; `forecast` null: it ended, and was not won. `judgement` stands beside, never over.
    `pushed_out`: how often the close date was put off. `visits`, `minutes`: spent so far."""

    priority: Coded | None
    assessment: AssessmentItem | None = Field(description="Null: nobody has assessed it.")
    forecast: ForecastItem | None
    judgement: JudgementItem | None
    visits: int
    minutes: int
    pushed_out: int
    anomalies: list[AnomalyItem]


async def control_of(found: OpportunityPage, asking: Asking, as_of: datetime | None) -> DealControl:
    """By the latest model and the latest limits."""
    state, at, language = found.state, as_of or asking.now, asking.language
    calendar = asking.backend.calendar
    model, limits = await latest_model(asking), await limits_in_force(asking)
    today = calendar.day_of(at)
    range_ = (found.position.probability_low, found.position.probability_high)
    letter = None if state.closed else priority(model.priorities, range_, state.close_date, today)
    stage = found.process.selling[found.position.working_stage - 1]
    names = (label(stage.names, "en", stage.code), label(stage.names, "zh", stage.code))
    return DealControl(
        priority=coded_or_none(labels.PRIORITIES, letter, language),
        assessment=await _assessment(state, model, asking, language),
        forecast=_forecast(state, found.position.funnel_state, language),
        judgement=_judgement(state),
        visits=state.visits,
        minutes=state.minutes,
        pushed_out=len(state.pushed_out_at),
        anomalies=[
            AnomalyItem(**told(one.code, one.since, one.value, one.limit, names, asking))
            for one in anomalies_of(found.history, found.process, limits, at, calendar)
        ],
    )


def _forecast(state: OpportunityState, funnel_state: str, language: Language) -> ForecastItem | None:
    code = category(state, funnel_state)
    if code is None:
        return None
    chosen = state.forecast is not None and not state.closed
    return ForecastItem(category=coded(labels.FORECASTS, code, language), chosen=chosen)


def _judgement(state: OpportunityState) -> JudgementItem | None:
    said = state.judgement
    if said is None:
        return None
    at = state.since["judgement"]
    return JudgementItem(amount=said.amount, close_date=said.close_date, note=said.note, by=said.judged_by, at=at)


async def _assessment(
    state: OpportunityState, latest: AssessmentModel, asking: Asking, language: Language
) -> AssessmentItem | None:
    made = state.assessment
    if made is None:
        return None
    model = latest
    if made.model_version != latest.version:
        model = await model_of(asking.connection, made.model_version) or latest
    factors = {factor.code: factor for factor in model.factors}
    return AssessmentItem(
        model_version=made.model_version,
        assessed_at=state.since["assessment"],
        scores=[
            Score(code=code, label=label(factor.names, language, code), score=made.scores[code], weight=factor.weight)
            for code, factor in factors.items()
            if code in made.scores
        ],
        total=made.total,
        threshold=made.threshold,
        below=made.total < made.threshold,
        decision=None if made.decision is None else coded(labels.ASSESSMENT_DECISIONS, made.decision, language),
        reason=made.reason,
    )
