"""Moving through the selling and the buying process (R1)."""

from datetime import datetime, timedelta

import pytest
from pydantic import ValidationError

from services.opportunity.domain.opportunity.progress import (
    AssertProgress,
    DecideRisk,
    GiveCommitment,
    ObserveBuyingStage,
    ReachMilestone,
    RegressStage,
    RetractCommitment,
    RetractMilestone,
    SkipStage,
)
from shared.contracts.event import Event
from shared.contracts.opportunity import (
    BuyingStageObserved,
    CommitmentGiven,
    CommitmentRetracted,
    Evidence,
    MilestoneReached,
    MilestoneRetracted,
    RiskDecided,
    StageCompleted,
    StageEntered,
    StageLeft,
    StageRegressed,
    StageSkipped,
)
from shared.testing.given import START
from tests.services.opportunity.deals import (
    DEFAULT,
    FIRST_STAGE,
    LATER,
    SECOND_STAGE,
    SEEN,
    THIRD_STAGE,
    buying,
    commit,
    on,
    reach,
    state_after,
)


def reached(milestone: str, stage: int = 1) -> MilestoneReached:
    return MilestoneReached(stage=stage, milestone=milestone, evidence=SEEN)


def committed(criterion: str, stage: int = 1) -> CommitmentGiven:
    return CommitmentGiven(stage=stage, criterion=criterion, evidence=SEEN)


def observed(stage: int) -> BuyingStageObserved:
    return BuyingStageObserved(stage=stage, evidence=SEEN)


def test_a_milestone_alone_does_not_enter_the_stage() -> None:
    on()(reach("called")).then(reached("called"))


def test_the_last_milestone_enters_the_stage() -> None:
    on(reach("called"))(reach("priced")).then([reached("priced"), StageEntered(stage=1)])


def test_the_commitment_completes_an_entered_stage_and_carries_into_the_next_buying_stage() -> None:
    on(reach("called"), reach("priced"))(commit("meeting")).then(
        [committed("meeting"), StageCompleted(stage=1), observed(2)]
    )


def test_a_commitment_before_the_milestones_does_not_complete_the_stage() -> None:
    on(reach("called"))(commit("meeting")).then(committed("meeting"))


def test_the_last_milestone_completes_the_stage_when_the_commitment_is_there() -> None:
    on(reach("called"), commit("meeting"))(reach("priced")).then(
        [reached("priced"), StageEntered(stage=1), StageCompleted(stage=1), observed(2)]
    )


def test_all_criteria_are_needed() -> None:
    before = (*FIRST_STAGE, reach("visited"))
    on(*before)(commit("shortlisted")).then(committed("shortlisted", 2))
    on(*before, commit("shortlisted"))(commit("preferred")).then(
        [committed("preferred", 2), StageCompleted(stage=2), observed(3)]
    )


def test_a_stage_without_milestones_is_entered_by_its_first_commitment() -> None:
    before = (*FIRST_STAGE, *SECOND_STAGE)
    on(*before)(commit("terms")).then([committed("terms", 3), StageEntered(stage=3)])
    on(*before, commit("terms"))(commit("signed")).then([committed("signed", 3), StageCompleted(stage=3)])


def test_a_customer_who_is_further_stays_there_when_a_stage_is_completed() -> None:
    on(buying(3), reach("called"), reach("priced"))(commit("meeting")).then(
        [committed("meeting"), StageCompleted(stage=1)]
    )


@pytest.mark.parametrize("command", [reach("called", 1), commit("meeting", 1), buying(2)])
def test_what_is_on_record_already_is_nothing_to_do(command: Event) -> None:
    on(*FIRST_STAGE)(command).nothing()


def test_evidence_says_who_and_when_also_when_the_caller_does_not() -> None:
    [event] = on()(ReachMilestone(milestone="called", evidence=Evidence(note="phoned"))).events
    assert event == MilestoneReached(
        stage=1, milestone="called", evidence=Evidence(note="phoned", by="tester", at=LATER)
    )


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"])
def test_evidence_of_a_time_that_cannot_be_meant_is_refused(at: str) -> None:
    evidence = Evidence(note="phoned", at=datetime.fromisoformat(at))
    for command in (
        ReachMilestone(milestone="called", evidence=evidence),
        GiveCommitment(criterion="meeting", evidence=evidence),
        ObserveBuyingStage(stage=2, evidence=evidence),
    ):
        result = on()(command)
        result.refused("impossible_date")
        assert result.refusal is not None
        assert (result.refusal.kind, result.refusal.reasons[0].field) == ("input", "evidence.at")


def test_clocks_may_differ_a_little_about_evidence() -> None:
    soon, later = (Evidence(note="phoned", at=LATER + timedelta(minutes=minutes)) for minutes in (5, 6))
    assert on()(ReachMilestone(milestone="called", evidence=soon)).events
    on()(ReachMilestone(milestone="called", evidence=later)).refused("impossible_date")


@pytest.mark.parametrize("note", ["", "  \t", "\x00"])
def test_no_evidence_no_tick(note: str) -> None:
    with pytest.raises(ValidationError):
        Evidence(note=note)


def test_unknown_milestones_and_criteria_are_named() -> None:
    result = on()(reach("sang"))
    result.refused("unknown_milestone")
    assert result.refusal is not None
    assert result.refusal.reasons[0].expected == "called, priced"
    on()(commit("danced")).refused("unknown_criterion")


def test_a_stage_is_worked_on_only_after_those_before_it() -> None:
    on()(reach("visited", 2)).refused("wrong_stage_order")
    on()(commit("signed", 4)).refused("unknown_stage")


def test_a_retracted_milestone_leaves_the_stage() -> None:
    on(reach("called"), reach("priced"))(RetractMilestone(milestone="called", reason="wrong number")).then(
        [MilestoneRetracted(stage=1, milestone="called", reason="wrong number"), StageLeft(stage=1)]
    )


def test_a_retracted_milestone_of_a_completed_stage_takes_the_sale_back() -> None:
    on(*FIRST_STAGE, *SECOND_STAGE)(RetractMilestone(milestone="called", stage=1, reason="wrong")).then(
        [
            MilestoneRetracted(stage=1, milestone="called", reason="wrong"),
            StageRegressed(from_completed=2, to_completed=0, reason="wrong"),
        ]
    )


def test_a_retracted_commitment_takes_the_sale_back_into_its_stage() -> None:
    on(*FIRST_STAGE)(RetractCommitment(criterion="meeting", stage=1, reason="cancelled")).then(
        [
            CommitmentRetracted(stage=1, criterion="meeting", reason="cancelled"),
            StageRegressed(from_completed=1, to_completed=0, reason="cancelled"),
            StageEntered(stage=1),
        ]
    )


def test_the_only_commitment_of_a_stage_without_milestones_is_what_entered_it() -> None:
    before = (*FIRST_STAGE, *SECOND_STAGE, commit("terms"))
    on(*before)(RetractCommitment(criterion="terms", reason="withdrawn")).then(
        [CommitmentRetracted(stage=3, criterion="terms", reason="withdrawn"), StageLeft(stage=3)]
    )


def test_a_commitment_of_a_stage_without_milestones_takes_the_sale_back_before_it() -> None:
    on(*FIRST_STAGE, *SECOND_STAGE, *THIRD_STAGE)(RetractCommitment(criterion="terms", stage=3, reason="no")).then(
        [
            CommitmentRetracted(stage=3, criterion="terms", reason="no"),
            StageRegressed(from_completed=3, to_completed=2, reason="no"),
        ]
    )


def test_only_what_is_on_record_can_be_retracted() -> None:
    on()(RetractMilestone(milestone="called", reason="?")).refused("not_evidenced")
    on()(RetractCommitment(criterion="meeting", reason="?")).refused("not_evidenced")


def test_what_was_retracted_can_be_evidenced_again() -> None:
    before = (reach("called"), RetractMilestone(milestone="called", reason="wrong number"))
    on(*before)(reach("called")).then(reached("called"))


def test_the_next_stage_is_skipped_with_a_reason() -> None:
    on()(SkipStage(stage=1, reason="they called us")).then(StageSkipped(stage=1, reason="they called us"))
    assert state_after(SkipStage(stage=1, reason="they called us")).completed_stage == 1


def test_a_skip_needs_a_reason_and_the_right_stage() -> None:
    with pytest.raises(ValidationError):
        SkipStage(stage=1, reason=" ")
    on()(SkipStage(stage=2, reason="hurry")).refused("wrong_stage_order")
    on(*FIRST_STAGE, *SECOND_STAGE, *THIRD_STAGE)(SkipStage(stage=3, reason="hurry")).refused("wrong_stage_order")


def test_evidence_of_a_skipped_stage_comes_and_goes_without_moving_the_sale() -> None:
    skipped = SkipStage(stage=1, reason="they called us")
    on(skipped)(reach("called", 1)).then(reached("called"))
    on(skipped, reach("called", 1))(RetractMilestone(milestone="called", stage=1, reason="no")).then(
        MilestoneRetracted(stage=1, milestone="called", reason="no")
    )


def test_a_sale_goes_back_and_what_was_done_for_the_stage_stays_done() -> None:
    on(*FIRST_STAGE, *SECOND_STAGE)(RegressStage(to_completed=1, reason="new decision maker")).then(
        [StageRegressed(from_completed=2, to_completed=1, reason="new decision maker"), StageEntered(stage=2)]
    )
    state = state_after(*FIRST_STAGE, *SECOND_STAGE, RegressStage(to_completed=1, reason="new decision maker"))
    assert (2, "milestone", "visited") in state.evidence
    assert not [key for key in state.evidence if key[0] == 2 and key[1] == "criterion"]


def test_back_is_backwards() -> None:
    on(*FIRST_STAGE)(RegressStage(to_completed=1, reason="?")).refused("not_backwards")
    on()(RegressStage(to_completed=0, reason="?")).refused("not_backwards")


def test_the_customer_goes_where_it_likes() -> None:
    on()(buying(3)).then(observed(3))
    on(buying(3))(buying(1)).then(observed(1))
    on()(buying(4)).refused("unknown_stage")


def test_far_behind_the_customer_a_decision_is_recorded() -> None:
    on(buying(3))(DecideRisk(decision="catch_up", reason="big")).then(RiskDecided(decision="catch_up", reason="big"))
    decided = DecideRisk(decision="catch_up", reason="big")
    on(buying(3), decided)(decided).nothing()
    on(buying(3), decided)(DecideRisk(decision="give_up", reason="small")).then(
        RiskDecided(decision="give_up", reason="small")
    )


def test_without_risk_there_is_nothing_to_decide() -> None:
    on(buying(2))(DecideRisk(decision="give_up", reason="?")).refused("not_at_risk")


@pytest.mark.parametrize("then", [RegressStage(to_completed=0, reason="back"), buying(2)])
def test_a_decision_about_the_risk_is_due_again_when_things_have_moved(then: Event) -> None:
    before = (buying(3), DecideRisk(decision="catch_up", reason="big"))
    assert state_after(*before).risk_decision == "catch_up"
    moved = (*before, SkipStage(stage=1, reason="hurry"), then)
    assert state_after(*moved).risk_decision is None


def test_a_live_deal_is_brought_in_with_asserted_evidence() -> None:
    asserted = Evidence(kind="asserted_at_migration", note="CRM", by="tester", at=LATER)
    on(reach("called"))(AssertProgress(completed_stage=1, note="CRM")).then(
        [
            MilestoneReached(stage=1, milestone="priced", evidence=asserted),
            StageEntered(stage=1),
            CommitmentGiven(stage=1, criterion="meeting", evidence=asserted),
            StageCompleted(stage=1),
            BuyingStageObserved(stage=2, evidence=asserted),
        ]
    )


def test_asserted_progress_completes_the_default_process_stage_by_stage() -> None:
    events = on(process=DEFAULT)(AssertProgress(completed_stage=8, note="CRM")).events
    assert [event.stage for event in events if isinstance(event, StageCompleted)] == list(range(1, 9))
    assert events[-1].stage == 8  # type: ignore[attr-defined]


def test_progress_that_is_there_is_not_asserted_again() -> None:
    on(*FIRST_STAGE)(AssertProgress(completed_stage=1, note="CRM")).nothing()
    on()(AssertProgress(completed_stage=4, note="CRM")).refused("unknown_stage")


def test_steps_follow_each_other_in_business_time() -> None:
    early = reach("priced").model_copy(update={"occurred_at": START + timedelta(minutes=30)})
    on(reach("called"))(early).refused("out_of_order")
    same = early.model_copy(update={"occurred_at": START + timedelta(hours=1)})
    on(reach("called"))(same).then([reached("priced"), StageEntered(stage=1)])


def test_nothing_happens_before_the_opening() -> None:
    before = reach("called").model_copy(update={"occurred_at": START - timedelta(seconds=1)})
    result = on()(before)
    result.refused("before_opening")
    assert result.refusal is not None
    assert result.refusal.kind == "input"
