"""Ending, resting, coming back (R1: outcomes are not stages)."""

from datetime import timedelta
from typing import Any

import pytest

from services.opportunity.domain.opportunity.outcome import Abandon, Lose, Pause, Reopen, Resume
from services.opportunity.domain.opportunity.page import position
from services.opportunity.domain.opportunity.progress import AssertProgress, SkipStage
from services.opportunity.domain.opportunity.terms import AssignOwner, ChangeAmount, Comment, Rename
from shared.contracts.opportunity import (
    Commented,
    OpportunityAbandoned,
    OpportunityLost,
    OpportunityPaused,
    OpportunityReopened,
    OpportunityResumed,
    OpportunityWon,
    OwnerAssigned,
    StageEntered,
    StageRegressed,
)
from shared.kit.money import Money
from shared.testing.given import START
from tests.services.opportunity.deals import (
    DEFAULT,
    FIRST_STAGE,
    LATER,
    OWNER,
    SECOND_STAGE,
    SEEN,
    SHORT,
    THIRD_STAGE,
    commit,
    on,
    reach,
    state_after,
    win,
)

FIVE, SIX = Money(minor=5, currency="CNY"), Money(minor=6, currency="CNY")
ALL_DONE = AssertProgress(completed_stage=3, note="CRM")
LOST = Lose(reason="price")


def test_who_has_the_signature_has_won() -> None:
    on(ChangeAmount(amount=FIVE), ALL_DONE)(win()).then(OpportunityWon(amount=FIVE, evidence=SEEN))


def test_the_contract_says_what_for() -> None:
    on(ChangeAmount(amount=FIVE), ALL_DONE)(win(SIX)).then(OpportunityWon(amount=SIX, evidence=SEEN))
    assert state_after(ChangeAmount(amount=FIVE), ALL_DONE, win(SIX)).amount == SIX


def test_what_is_won_may_be_unknown_but_not_negative() -> None:
    on(ALL_DONE)(win()).then(OpportunityWon(evidence=SEEN))
    on(ALL_DONE)(win(Money(minor=-1, currency="CNY"))).refused("negative_amount")


def test_nobody_signs_tomorrow() -> None:
    tomorrow = SEEN.model_copy(update={"at": LATER + timedelta(days=1)})
    on(ALL_DONE)(win().model_copy(update={"evidence": tomorrow})).refused("impossible_date")


def test_without_the_signature_nothing_is_won() -> None:
    on(AssertProgress(completed_stage=2, note="CRM"), commit("terms"))(win()).refused("stages_missing")


def test_a_stage_skipped_with_a_reason_is_no_obstacle() -> None:
    done = AssertProgress(completed_stage=2, note="CRM")
    on(done, SkipStage(stage=3, reason="call-off"))(win()).then(OpportunityWon(evidence=SEEN))


def test_a_loss_says_why_and_to_whom() -> None:
    on()(Lose(reason="price", competitor="Rival", price=FIVE)).then(
        OpportunityLost(reason="price", competitor="Rival", price=FIVE)
    )
    on()(Lose(reason="price", price=Money(minor=-1, currency="CNY"))).refused("negative_amount")


def test_given_up_and_rested() -> None:
    on()(Abandon(reason="no budget")).then(OpportunityAbandoned(reason="no budget"))
    on()(Pause(reason="reorganisation")).then(OpportunityPaused(reason="reorganisation"))


def test_a_paused_one_rests_until_it_is_resumed_or_ended() -> None:
    paused = Pause(reason="reorganisation")
    on(paused)(Pause(reason="again")).refused("paused")
    on(paused)(reach("called")).refused("paused")
    on(paused)(win()).refused("paused")
    on(paused)(Lose(reason="price")).then(OpportunityLost(reason="price"))
    on(paused)(Abandon(reason="no budget")).then(OpportunityAbandoned(reason="no budget"))
    on(paused)(Resume()).then(OpportunityResumed())
    assert state_after(*FIRST_STAGE, paused, Resume()).completed_stage == 1


def test_only_a_paused_one_is_resumed() -> None:
    on()(Resume()).refused("not_paused")


@pytest.mark.parametrize("command", [reach("called"), Rename(name="x"), Pause(reason="x"), LOST, win()])
def test_one_that_has_ended_must_be_reopened_first(command: Any) -> None:
    on(LOST)(command).refused("already_lost")


def test_one_that_has_ended_still_changes_hands_and_is_talked_about() -> None:
    on(LOST)(AssignOwner(owner_id=OWNER)).then(OwnerAssigned(owner_id=OWNER))
    on(LOST)(Comment(text="learned")).then(Commented(text="learned"))


def test_a_reopened_one_goes_on_where_it_was() -> None:
    on(*FIRST_STAGE, LOST)(Reopen(reason="they came back")).then(OpportunityReopened(reason="they came back"))
    state = state_after(*FIRST_STAGE, LOST, Reopen(reason="they came back"))
    assert (state.outcome, state.completed_stage, state.competitor) == ("open", 1, None)


def test_a_reopened_win_stands_before_the_signature_again() -> None:
    on(*FIRST_STAGE, *SECOND_STAGE, *THIRD_STAGE, win())(Reopen(reason="they withdrew")).then(
        [
            OpportunityReopened(reason="they withdrew"),
            StageRegressed(from_completed=3, to_completed=2, reason="they withdrew"),
        ]
    )
    state = state_after(*FIRST_STAGE, *SECOND_STAGE, *THIRD_STAGE, win(), Reopen(reason="they withdrew"))
    at = position(state, SHORT)
    assert (state.outcome, at.completed_stage, at.probability_low) == ("open", 2, 60)
    assert [one.code for one in at.missing] == ["terms", "signed"]
    on(*FIRST_STAGE, *SECOND_STAGE, *THIRD_STAGE, win(), Reopen(reason="they withdrew"))(win()).refused(
        "stages_missing"
    )


def test_what_was_done_for_the_signature_stays_done_when_a_win_is_reopened() -> None:
    before = (AssertProgress(completed_stage=8, note="CRM"), win())
    events = list(on(*before, process=DEFAULT)(Reopen(reason="they withdrew")).events)
    assert events[1:] == [
        StageRegressed(from_completed=8, to_completed=7, reason="they withdrew"),
        StageEntered(stage=8),
    ]


def test_only_what_has_ended_is_reopened() -> None:
    on()(Reopen(reason="x")).refused("not_closed")
    on(Pause(reason="x"))(Reopen(reason="x")).refused("not_closed")


def test_outcomes_follow_each_other_in_business_time() -> None:
    on(LOST)(Reopen(reason="x", occurred_at=START + timedelta(minutes=30))).refused("out_of_order")
    on(LOST)(Reopen(reason="x", occurred_at=START + timedelta(hours=1))).then(OpportunityReopened(reason="x"))


def test_the_amount_won_is_the_last_word_on_the_amount() -> None:
    early = win(SIX).model_copy(update={"occurred_at": START + timedelta(hours=8)})
    steps = (ALL_DONE, ChangeAmount(amount=FIVE, occurred_at=START + timedelta(hours=9)))
    on(*steps)(early).refused("out_of_order")
