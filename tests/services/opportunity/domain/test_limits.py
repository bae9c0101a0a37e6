"""The limits of what is normal (R2): which may be defined."""

from typing import Any

import pytest

from services.opportunity.domain.anomalies.limits import (
    DEFAULT_LIMITS,
    AnomalyLimits,
    DefineAnomalyLimits,
    LimitsState,
    days_in_stage,
    decide_define_limits,
    evolve_limits,
)
from shared.contracts.event import Recorded
from shared.contracts.opportunity import StageLimit
from shared.kit.money import Money
from shared.testing.given import Result, given
from tests.services.opportunity.deals import DEFAULT, SHORT
from tests.services.opportunity.judged import LIMITS, LIMITS_FORM

STAGES = {process.key: frozenset(stage.code for stage in process.selling) for process in (SHORT, DEFAULT)}


class Limits:
    category, initial = "anomaly_limits", LimitsState()

    @staticmethod
    def evolve(state: LimitsState, e: Recorded[Any]) -> LimitsState:
        return evolve_limits(state, e)


def defining(command: DefineAnomalyLimits, *before: AnomalyLimits) -> Result:
    return given(Limits(), before).when(lambda state: decide_define_limits(state, command, "default", STAGES))


def form(**changed: Any) -> DefineAnomalyLimits:
    return LIMITS_FORM.model_copy(update=changed)


def test_a_change_is_a_further_version_and_the_same_again_is_nothing_to_do() -> None:
    defining(LIMITS_FORM).then(LIMITS)
    defining(LIMITS_FORM, LIMITS).nothing()
    defining(form(pushed_out=5), LIMITS).then(LIMITS.model_copy(update={"version": 2, "pushed_out": 5}))


def test_the_default_limits_can_be_defined() -> None:
    assert defining(DEFAULT_LIMITS).refusal is None


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        (form(stages=(StageLimit(process="none", stage="stage_1", days=1),)), ["unknown_process"]),
        (form(stages=(StageLimit(process="short", stage="stage_9", days=1),)), ["unknown_stage"]),
        (form(stages=(LIMITS_FORM.stages[0], LIMITS_FORM.stages[0])), ["duplicate_code"]),
        (form(big=(Money(minor=0, currency="CNY"),)), ["negative_amount"]),
        (
            form(big=(LIMITS_FORM.big[0], LIMITS_FORM.big[0]), stages=(LIMITS_FORM.stages[0],) * 2),
            ["duplicate_currency", "duplicate_code"],
        ),
    ],
)
def test_limits_that_cannot_be_meant_are_refused_with_every_fault(
    command: DefineAnomalyLimits, codes: list[str]
) -> None:
    defining(command).refused(*codes)


def test_a_stage_without_a_limit_of_its_own_has_that_of_the_others_if_there_is_one() -> None:
    assert days_in_stage(LIMITS, "short", "stage_2") == 20
    assert days_in_stage(LIMITS, "short", "stage_3") is None
    assert days_in_stage(LIMITS.model_copy(update={"other_stages_days": 60}), "default", "stage_2") == 60
