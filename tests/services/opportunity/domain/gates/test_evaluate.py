"""What gates say of acts: they pass, warn, let pass on a waiver, or refuse."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.opportunity.domain.gates.evaluate import GateRefusedError, Gates, rulings_of
from services.opportunity.domain.opportunity.decide import Circumstances, decide
from services.opportunity.domain.opportunity.progress import AssertProgress, RegressStage, SkipStage
from services.opportunity.domain.opportunity.terms import ChangeAmount
from shared.contracts.event import Event
from shared.contracts.opportunity import (
    Condition,
    ExternalIdLinked,
    GatePassedOnWaiver,
    GateStopped,
    GateWaived,
    GateWarned,
    Lacking,
    OpportunityWon,
    StageCompleted,
    StageEntered,
    StageSkipped,
)
from shared.testing.given import Result, given
from tests.services.opportunity.deals import FIRST_STAGE, LATER, OWNER, SEEN, SHORT, Deals, commit, reach, story, win
from tests.services.opportunity.domain.gates.rules import DAY, FIVE, defined, gates

ALL_DONE = AssertProgress(completed_stage=3, note="CRM")
LINKED = ExternalIdLinked(system="crm", external_id="4")
NO_AMOUNT = (Lacking(fact="amount", test="known"),)
WAIVED = GateWaived(
    waiver_id=OWNER, gate="gate", requested_by="ann", approved_by="lin", reason="year end", expires_at=LATER + DAY
)


def when(command: Any, held_to: Gates, *before: Any, facts: tuple[Event, ...] = (), at: datetime = LATER) -> Result:
    told = [*story(*before), *((fact, at) for fact in facts)]
    circumstances = Circumstances(SHORT, at, "tester", at, gates=held_to)
    return given(Deals(), told).when(lambda state: decide(state, command, circumstances))


def test_what_holds_passes_in_silence() -> None:
    when(win(FIVE), gates(defined()), ALL_DONE).then(OpportunityWon(amount=FIVE, evidence=SEEN))


def test_a_warning_lets_pass_and_stays_on_record() -> None:
    when(win(), gates(defined(mode="warn")), ALL_DONE).then(
        [OpportunityWon(evidence=SEEN), GateWarned(gate="gate", gate_version=1, act="win", lacking=NO_AMOUNT)]
    )


def test_control_wants_the_missing_piece() -> None:
    when(win(), gates(defined()), ALL_DONE).refused("gate_control")
    when(win(), gates(defined()), ChangeAmount(amount=FIVE), ALL_DONE).then(OpportunityWon(amount=FIVE, evidence=SEEN))


def test_or_a_waiver_that_has_not_run_out() -> None:
    passed = GatePassedOnWaiver(
        gate="gate", gate_version=1, act="win", lacking=NO_AMOUNT, waiver_id=OWNER, approved_by="lin"
    )
    when(win(), gates(defined()), ALL_DONE, facts=(WAIVED,)).then([OpportunityWon(evidence=SEEN), passed])
    over = WAIVED.model_copy(update={"expires_at": LATER})
    when(win(), gates(defined()), ALL_DONE, facts=(over,)).refused("gate_control")


def test_a_waiver_is_for_one_gate() -> None:
    held_to = gates(defined(), defined("other"))
    when(win(), held_to, ALL_DONE, facts=(WAIVED,)).refused("gate_control")


def test_no_waiver_opens_what_stops_everybody() -> None:
    when(win(), gates(defined(mode="stop")), ALL_DONE, facts=(WAIVED,)).refused("gate_stop")


def test_all_objections_are_told_at_once_and_where_to_go() -> None:
    result = when(win(), gates(defined("a"), defined("b", mode="stop")), ALL_DONE)
    result.refused("gate_control", "gate_stop")
    assert isinstance(result.refusal, GateRefusedError)
    first, second = result.refusal.reasons
    assert first.message == "The amount is missing (gate a, version 1, at win: amount is not on record)"
    assert first.expected == ('amount known; or a waiver that another person approves: POST /waivers with "gate": "a"')
    assert second.expected == "amount known; nobody passes without it"
    assert [stop.gate for stop in result.refusal.stopped] == ["a", "b"]
    assert result.refusal.stopped[1] == GateStopped(gate="b", gate_version=1, act="win", lacking=NO_AMOUNT, mode="stop")


def test_what_is_not_asked_about_is_no_matter() -> None:
    big = Condition(fact="amount", test="above", value=FIVE)
    when(
        win(FIVE), gates(defined(applies_when=big, requires=Condition(fact="lines", test="above", value=0))), ALL_DONE
    ).then(OpportunityWon(amount=FIVE, evidence=SEEN))


def test_the_amount_is_that_of_the_contract() -> None:
    above = Condition(fact="amount", test="above", value=FIVE)
    when(win(FIVE), gates(defined(requires=above)), ALL_DONE).refused("gate_control")


def test_a_stage_is_guarded_by_its_number_or_its_code() -> None:
    for stage in (1, "stage_1"):
        guard: dict[str, Any] = {"guards": ({"act": "stage_completed", "stages": (stage,)},)}
        when(commit("meeting"), gates(defined(**guard)), *FIRST_STAGE[:2]).refused("gate_control")
        when(reach("priced"), gates(defined(**guard)), *FIRST_STAGE[:1]).then(
            when(reach("priced"), gates(), *FIRST_STAGE[:1]).events
        )


def test_entering_completing_and_skipping_are_different_acts() -> None:
    held_to = gates(
        defined("entering", act="stage_entered", mode="warn"),
        defined("completing", act="stage_completed", mode="warn"),
        defined("skipping", act="stage_skipped", mode="warn"),
    )
    fired = GateWarned(gate="entering", gate_version=1, act="stage_entered", stage=1, lacking=NO_AMOUNT)
    entered = when(reach("priced"), held_to, *FIRST_STAGE[:1]).events
    assert entered[1:] == (StageEntered(stage=1), fired)
    assert [getattr(event, "gate", None) for event in when(commit("meeting"), held_to, *FIRST_STAGE[:2]).events][
        -1:
    ] == ["completing"]
    skipped = when(SkipStage(stage=1, reason="call-off"), held_to).events
    assert skipped[0] == StageSkipped(stage=1, reason="call-off")
    assert [getattr(event, "gate", None) for event in skipped[1:]] == ["skipping"]


def test_evidence_given_with_the_act_counts() -> None:
    needed = Condition(fact="commitments", test="has", value="meeting")
    held_to = gates(defined(act="stage_completed", requires=needed))
    assert StageCompleted(stage=1) in when(commit("meeting"), held_to, *FIRST_STAGE[:2]).events


def test_where_it_stood_is_how_it_was_before() -> None:
    soon = Condition(fact="days_in_stage", test="at_most", value=3)
    held_to = gates(defined(act="stage_completed", requires=soon))
    when(commit("meeting"), held_to, *FIRST_STAGE[:2], at=LATER).refused("gate_control")


def test_days_are_counted_by_the_clock_whatever_time_the_caller_names() -> None:
    soon = Condition(fact="days_in_stage", test="at_most", value=3)
    held_to = gates(defined(act="stage_completed", requires=soon))
    early = LATER - timedelta(days=29)
    when(commit("meeting"), held_to, *FIRST_STAGE[:2], at=early).refused("gate_control")


def test_a_back_test_counts_days_by_the_business_time() -> None:
    soon = Condition(fact="days_in_stage", test="at_most", value=3)
    state, early = given(Deals(), story(*FIRST_STAGE[:2])).state, LATER - timedelta(days=29)
    held_to = gates(defined(act="stage_completed", requires=soon))
    [said] = rulings_of(state, [StageCompleted(stage=1)], SHORT, held_to, early)
    assert said.verdict == "passes"


def test_rules_bind_who_acts_now_whenever_it_was_so() -> None:
    tomorrow = gates(defined(at=LATER + timedelta(days=1)))
    when(win(), tomorrow, ALL_DONE).then(OpportunityWon(evidence=SEEN))


def test_what_was_brought_in_met_no_gate_here() -> None:
    stopped = gates(defined(act="stage_completed", mode="stop"))
    assert when(ALL_DONE, stopped, facts=(LINKED,)).refusal is None
    again = when(ALL_DONE, stopped, AssertProgress(completed_stage=1, note="CRM"), facts=(LINKED,))
    assert again.refusal is None


def test_what_is_asserted_of_a_deal_of_our_own_meets_all_of_them() -> None:
    stopped = gates(defined(act="stage_completed", mode="stop"))
    when(ALL_DONE, stopped).refused(*["gate_stop"] * 3)
    when(ALL_DONE, stopped, reach("called"), facts=(LINKED,)).refused(*["gate_stop"] * 3)
    skip = SkipStage(stage=1, reason="call-off")
    when(ALL_DONE, stopped, skip, facts=(LINKED,)).refused(*["gate_stop"] * 2)


def test_nobody_is_kept_from_going_back() -> None:
    stopped = gates(defined(act="stage_entered", mode="stop"))
    back = RegressStage(to_completed=0, reason="stopped")
    assert StageEntered(stage=1) in when(back, stopped, *FIRST_STAGE).events


@pytest.mark.parametrize("late", [LATER, LATER + DAY])
def test_the_waiver_that_lasts_longest_counts(late: datetime) -> None:
    short = WAIVED.model_copy(update={"expires_at": LATER + timedelta(hours=1)})
    state = given(Deals(), [*story(), (WAIVED, LATER), (short, late)]).state
    assert state.waivers["gate"].expires_at == LATER + DAY
