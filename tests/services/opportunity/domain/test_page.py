"""Where an opportunity stands, what is missing, what may be done."""

from services.opportunity.domain.opportunity.outcome import Abandon, Lose
from services.opportunity.domain.opportunity.page import Missing, position
from services.opportunity.domain.opportunity.progress import AssertProgress, DecideRisk, SkipStage
from tests.services.opportunity.deals import FIRST_STAGE, SHORT, buying, reach, state_after, win


def test_at_birth_nothing_is_done_and_everything_is_missing() -> None:
    at = position(state_after(), SHORT)
    assert (at.completed_stage, at.entered_stage, at.working_stage, at.buying_stage) == (0, None, 1, 1)
    assert (at.probability_low, at.probability_high) == (0, 0)
    assert (at.synchrony, at.funnel_state, at.decision_due) == ("in_sync", "searching", False)
    assert [(one.kind, one.code) for one in at.missing] == [
        ("milestone", "called"),
        ("milestone", "priced"),
        ("criterion", "meeting"),
    ]


def test_within_a_stage_the_probability_is_a_range() -> None:
    at = position(state_after(*FIRST_STAGE, reach("visited")), SHORT)
    assert (at.working_stage, at.entered_stage, at.probability_low, at.probability_high) == (2, 2, 20, 60)
    assert at.funnel_state == "in_funnel"
    assert at.missing[0] == Missing("criterion", "shortlisted", {"en": "shortlisted"})


def test_when_all_is_completed_nothing_is_missing() -> None:
    at = position(state_after(AssertProgress(completed_stage=3, note="CRM")), SHORT)
    assert (at.working_stage, at.probability_low, at.probability_high, at.missing) == (3, 100, 100, ())


def test_what_has_ended_is_certain() -> None:
    before = (*FIRST_STAGE, reach("visited"))
    for ended in (Lose(reason="price"), Abandon(reason="budget")):
        at = position(state_after(*before, ended), SHORT)
        assert (at.completed_stage, at.entered_stage, at.probability_low, at.probability_high) == (1, 2, 0, 0)
    at = position(state_after(*before, SkipStage(stage=2, reason="r"), SkipStage(stage=3, reason="r"), win()), SHORT)
    assert (at.probability_low, at.probability_high) == (100, 100)


def test_a_risk_asks_for_a_decision_until_it_is_recorded_or_the_sale_is_over() -> None:
    assert position(state_after(buying(3)), SHORT).decision_due
    assert not position(state_after(buying(3), DecideRisk(decision="catch_up", reason="big")), SHORT).decision_due
    assert not position(state_after(buying(3), Lose(reason="price")), SHORT).decision_due


def test_an_action_that_is_not_allowed_says_why() -> None:
    actions = {one.action: one for one in position(state_after(), SHORT).actions}
    assert actions["milestone"].allowed
    assert (actions["win"].allowed, actions["win"].why_not) == (False, "stages are missing")
    lost = {one.action: one for one in position(state_after(Lose(reason="price")), SHORT).actions}
    assert [action for action, one in lost.items() if one.allowed] == [
        "owner",
        "team",
        "account",
        "comment",
        "file",
        "effort",
        "reopen",
    ]
