"""Sales processes: what may be defined, and the arithmetic over them (R1, R2)."""

from typing import Any

import pytest

from services.opportunity.domain.process import (
    DEFAULT_PROCESS,
    DefineProcess,
    ProcessState,
    decide_define_process,
    evolve_process,
    probability,
    synchrony,
    working_stage,
)
from shared.contracts.event import Recorded
from shared.contracts.opportunity import BuyingStage, ProcessDefined, SellingStage
from shared.testing.given import Result, given
from tests.services.opportunity.deals import DEFAULT, SHORT

SHORT_FORM = DefineProcess(**SHORT.model_dump(exclude={"key", "version"}))


class Processes:
    category, initial = "sales_process", ProcessState()

    @staticmethod
    def evolve(state: ProcessState, e: Recorded[Any]) -> ProcessState:
        return evolve_process(state, e)


def defining(command: DefineProcess, *before: ProcessDefined, key: str = "short") -> Result:
    return given(Processes(), before).when(lambda state: decide_define_process(state, command, key))


def with_stage(number: int, **changed: Any) -> DefineProcess:
    stages = [stage.model_copy(update=changed) if stage.number == number else stage for stage in SHORT.selling]
    return SHORT_FORM.model_copy(update={"selling": tuple(stages)})


def test_the_first_version_is_1() -> None:
    defining(SHORT_FORM).then(SHORT)


def test_a_change_is_a_further_version_beside_the_first() -> None:
    renamed = SHORT_FORM.model_copy(update={"names": {"en": "Shorter"}})
    result = defining(renamed, SHORT)
    result.then(SHORT.model_copy(update={"names": {"en": "Shorter"}, "version": 2}))
    versions = given(Processes(), [SHORT, *result.events]).state.versions
    assert [version.names["en"] for version in versions] == ["Short", "Shorter"]


def test_the_same_again_is_nothing_to_do() -> None:
    defining(SHORT_FORM, SHORT).nothing()


def test_a_stage_without_success_criterion_could_never_be_completed() -> None:
    defining(with_stage(2, criteria=())).refused("missing_criterion")


@pytest.mark.parametrize("key", ["", "Short", "two words", "名", "a" * 61, "x\n"])
def test_a_key_is_a_code(key: str) -> None:
    defining(SHORT_FORM, key=key).refused("bad_key")


def test_stage_n_of_one_answers_stage_n_of_the_other() -> None:
    defining(SHORT_FORM.model_copy(update={"buying": SHORT.buying[:2]})).refused("unmatched_stages")


def test_the_probability_never_falls() -> None:
    defining(with_stage(2, probability=10)).refused("falling_probability")


def test_stages_are_numbered_in_order() -> None:
    backwards = tuple(reversed(SHORT.selling))
    defining(SHORT_FORM.model_copy(update={"selling": backwards})).refused("bad_stage_numbers", "falling_probability")


def test_no_stages_are_no_process() -> None:
    empty: tuple[SellingStage, ...] = ()
    none: tuple[BuyingStage, ...] = ()
    nothing = SHORT_FORM.model_copy(update={"selling": empty, "buying": none})
    defining(nothing).refused("bad_stage_numbers", "bad_stage_numbers")


def test_every_fault_is_named_at_once() -> None:
    faulty = with_stage(1, names={"zh": "一"}, milestones=SHORT.selling[0].criteria)
    faulty = faulty.model_copy(update={"names": {"en": " "}, "at_risk_gap": 0})
    defining(faulty).refused("missing_name", "missing_name", "duplicate_code", "bad_gap")


def test_two_stages_of_one_code_are_refused() -> None:
    defining(with_stage(2, code="stage_1")).refused("duplicate_code")


def test_the_default_process_is_the_one_of_the_handbook() -> None:
    [defined] = decide_define_process(ProcessState(), DEFAULT_PROCESS, "default")
    assert isinstance(defined, ProcessDefined)
    assert [stage.probability for stage in defined.selling] == [10, 20, 25, 30, 50, 75, 90, 100]
    assert [stage.funnel_state for stage in defined.buying] == ["searching"] * 2 + ["in_funnel"] * 3 + ["best"] * 3
    names = [stage.names for stage in defined.selling] + [stage.names for stage in defined.buying]
    assert all(name.keys() == {"en", "zh"} for name in names)


def test_the_probability_is_a_range_only_within_an_entered_stage() -> None:
    assert probability(DEFAULT, 0, None) == (0, 0)
    assert probability(DEFAULT, 0, 1) == (0, 10)
    assert probability(DEFAULT, 4, None) == (30, 30)
    assert probability(DEFAULT, 4, 5) == (30, 50)
    assert probability(DEFAULT, 8, None) == (100, 100)


def test_the_expected_number_of_wins_of_the_handbook_comes_out() -> None:
    """Three salespeople, 28 opportunities, all entered: 6.80 to 9.85 wins (R2)."""
    standing = [(6, 1), (5, 2), (5, 3), (4, 4), (3, 5), (2, 6), (2, 7), (1, 8)]
    ranges = [(n, probability(DEFAULT, stage - 1, stage)) for n, stage in standing]
    assert sum(n * low for n, (low, _) in ranges) == 680
    assert sum(n * high for n, (_, high) in ranges) == 985


@pytest.mark.parametrize(
    ("completed", "buying", "said"),
    [(2, 3, "in_sync"), (2, 4, "behind"), (2, 5, "at_risk"), (2, 8, "at_risk"), (2, 2, "ahead"), (8, 8, "in_sync")],
)
def test_synchrony_compares_the_working_stage_with_the_buying_stage(completed: int, buying: int, said: str) -> None:
    assert synchrony(DEFAULT, completed, buying) == said


def test_the_gap_that_is_a_risk_is_configured() -> None:
    assert synchrony(DEFAULT.model_copy(update={"at_risk_gap": 3}), 2, 5) == "behind"


def test_the_working_stage_is_the_one_after_the_completed_ones_up_to_the_last() -> None:
    assert [working_stage(completed, DEFAULT) for completed in (0, 3, 7, 8)] == [1, 4, 8, 8]
