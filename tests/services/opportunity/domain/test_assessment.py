"""Assessment (R4): the model, what an opportunity scores under it, and what is spent on it."""

from datetime import timedelta
from typing import Any

import pytest

from services.opportunity.domain.assessment.effort import SpendEffort
from services.opportunity.domain.assessment.model import (
    DEFAULT_MODEL,
    AssessmentModel,
    DefineAssessmentModel,
    ModelState,
    decide_define_model,
    evolve_model,
)
from services.opportunity.domain.assessment.scoring import Assess, weighted_total
from services.opportunity.domain.opportunity.decide import Circumstances, decide
from services.opportunity.domain.opportunity.outcome import Lose, Pause
from shared.contracts.event import Recorded
from shared.contracts.opportunity import (
    EffortSpent,
    Factor,
    OpportunityAssessed,
    PriorityRule,
)
from shared.testing.given import START, Fact, Result, given
from tests.services.opportunity.deals import LATER, OPENED, SHORT, Deals, on, state_after, story
from tests.services.opportunity.judged import MODEL, MODEL_FORM, RULES


class Models:
    category, initial = "assessment_model", ModelState()

    @staticmethod
    def evolve(state: ModelState, e: Recorded[Any]) -> ModelState:
        return evolve_model(state, e)


def defining(command: DefineAssessmentModel, *before: AssessmentModel) -> Result:
    return given(Models(), before).when(lambda state: decide_define_model(state, command, "default"))


def form(**changed: Any) -> DefineAssessmentModel:
    return MODEL_FORM.model_copy(update=changed)


def rules(**changed: PriorityRule) -> DefineAssessmentModel:
    return form(priorities=tuple(changed.get(rule.priority, rule) for rule in RULES))


def assessing(command: Assess, *before: Fact) -> Result:
    given_now = Circumstances(SHORT, command.occurred_at or LATER, "tester", LATER, model=MODEL)
    return given(Deals(), [OPENED, *before]).when(lambda state: decide(state, command, given_now))


def assess(funding: int, fit: int, **more: Any) -> Assess:
    return Assess(scores={"funding": funding, "fit": fit}, **more)


def assessed(funding: int, fit: int, total: int, **more: Any) -> OpportunityAssessed:
    scores = {"funding": funding, "fit": fit}
    return OpportunityAssessed(model_version=1, scores=scores, total=total, threshold=250, **more)


def test_a_change_is_a_further_version_and_the_same_again_is_nothing_to_do() -> None:
    defining(MODEL_FORM).then(MODEL)
    defining(MODEL_FORM, MODEL).nothing()
    defining(form(threshold=300), MODEL).then(MODEL.model_copy(update={"version": 2, "threshold": 300}))


def test_the_default_model_can_be_defined() -> None:
    assert defining(DEFAULT_MODEL).refusal is None


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        (form(factors=()), ["bad_factors"]),
        (form(factors=(*MODEL_FORM.factors, MODEL_FORM.factors[0])), ["duplicate_code"]),
        (form(factors=(Factor(code="funding", names={"zh": "资金"}, weight=2),)), ["missing_name"]),
        (form(threshold=501), ["bad_threshold"]),
        (form(highest_score=0, priorities=RULES[:3]), ["bad_scale", "bad_priorities"]),
        (rules(A=RULES[0].model_copy(update={"deserves": 60})), ["bad_shares"]),
        (rules(D=RULES[3].model_copy(update={"probability_from": 1})), ["bad_priorities"]),
        (rules(B=RULES[1].model_copy(update={"closes_within_days": 20})), ["bad_priorities"]),
        (rules(B=RULES[1].model_copy(update={"probability_from": 60})), ["bad_priorities"]),
        (rules(B=RULES[1].model_copy(update={"closes_within_days": None}), C=RULES[0]), ["bad_priorities"]),
    ],
)
def test_a_model_that_cannot_be_meant_is_refused_with_every_fault(
    command: DefineAssessmentModel, codes: list[str]
) -> None:
    defining(command).refused(*codes)


def test_the_total_is_the_weighted_average_in_hundredths_halves_rounded_up() -> None:
    assert weighted_total({"funding": 5, "fit": 0}, MODEL) == 333
    assert weighted_total({"funding": 0, "fit": 5}, MODEL) == 167
    halves = MODEL.model_copy(
        update={"factors": (MODEL_FORM.factors[0].model_copy(update={"weight": 199}), MODEL_FORM.factors[1])}
    )
    assert weighted_total({"funding": 0, "fit": 1}, halves) == 1


def test_a_good_total_needs_no_decision() -> None:
    assessing(assess(3, 2)).then(assessed(3, 2, 267))


def test_below_the_threshold_a_decision_with_a_reason_is_recorded() -> None:
    assessing(assess(2, 2)).refused("decision_missing")
    assessing(assess(2, 2, decision="drop")).refused("reason_missing")
    decided = {"decision": "lower_effort", "reason": "A rival wrote the specification"}
    assessing(assess(2, 2, **decided)).then(assessed(2, 2, 200, **decided))


def test_at_the_threshold_it_is_good_enough() -> None:
    exact = MODEL.model_copy(update={"threshold": 267})
    now = Circumstances(SHORT, LATER, "tester", LATER, model=exact)
    given(Deals(), [OPENED]).when(lambda state: decide(state, assess(3, 2), now)).then(
        assessed(3, 2, 267).model_copy(update={"threshold": 267})
    )


def test_scores_that_do_not_fit_the_model_are_named_all_at_once() -> None:
    assessing(Assess(scores={"funding": 6, "luck": 1})).refused("score_missing", "score_off_scale", "unknown_factor")


def test_the_same_again_is_nothing_to_do() -> None:
    assessing(assess(3, 2), assessed(3, 2, 267)).nothing()
    assessing(assess(3, 3), assessed(3, 2, 267)).then(assessed(3, 3, 300))


def test_a_late_assessment_does_not_change_what_is_so_now() -> None:
    late, newer = assessed(1, 1, 100, decision="drop", reason="r"), assessed(3, 2, 267)
    state = given(Deals(), [OPENED, (newer, LATER), (late, START + timedelta(days=1))]).state
    assert state.assessment == newer


def test_nobody_assesses_without_a_model_or_what_has_ended() -> None:
    on()(assess(3, 2)).refused("no_model")
    assessing(assess(3, 2), *story(Lose(reason="price"))[1:]).refused("already_lost")
    assessing(assess(3, 2), *story(Pause(reason="budget"))[1:]).then(assessed(3, 2, 267))


def test_effort_adds_up_and_may_be_told_after_the_end() -> None:
    on(Lose(reason="price"))(SpendEffort(visits=1, minutes=90)).then(EffortSpent(visits=1, minutes=90))
    state = state_after(SpendEffort(visits=2), SpendEffort(minutes=30), SpendEffort(visits=-1, note="Counted twice"))
    assert (state.visits, state.minutes) == (1, 30)


def test_effort_is_taken_back_with_a_note_and_not_beyond_nothing() -> None:
    on(SpendEffort(visits=2))(SpendEffort(visits=-2)).refused("reason_missing")
    on(SpendEffort(visits=2))(SpendEffort(visits=-3, note="Another deal's")).refused("effort_below_zero")
    on(SpendEffort(visits=2))(SpendEffort(minutes=-3, note="Another deal's")).refused("effort_below_zero")
    on()(SpendEffort()).refused("nothing_spent")
