"""What gates say before one tries is what they say when one does."""

from services.opportunity.domain.gates.defaults import DEFAULT_GATES, PRICE_FOR_TERMS, PROMISE_AGREED
from services.opportunity.domain.gates.preview import preview
from services.opportunity.domain.opportunity.outcome import Lose, Pause
from services.opportunity.domain.opportunity.progress import AssertProgress
from shared.contracts.event import Event
from shared.contracts.opportunity import Concession, ConcessionGranted, Condition
from shared.testing.given import given
from tests.services.opportunity.deals import FIRST_STAGE, LATER, SHORT, Deals, state_after, story
from tests.services.opportunity.domain.gates.rules import MATRIX, defined, gates

EVERYWHERE = tuple(defined(act, act=act) for act in ("stage_entered", "stage_completed", "stage_skipped", "win"))


def shown(*before: object, held_to: tuple[Event, ...] = EVERYWHERE) -> list[tuple[str, int | None]]:
    return [(one.act.act, one.act.stage) for one in preview(state_after(*before), SHORT, gates(*held_to))]


def test_the_next_steps_and_the_win_are_looked_at() -> None:
    assert shown() == [("stage_entered", 1), ("stage_completed", 1), ("stage_skipped", 1), ("win", None)]
    assert shown(*FIRST_STAGE[:2]) == [("stage_completed", 1), ("stage_skipped", 1), ("win", None)]
    assert shown(AssertProgress(completed_stage=3, note="CRM")) == [("win", None)]


def test_the_evidence_that_completes_a_stage_is_foreseen() -> None:
    met = Condition(fact="commitments", test="has", value="meeting")
    priced = Condition(fact="milestones", test="has", value="priced")
    held_to = gates(
        defined("completing", act="stage_completed", requires=Condition(all_of=(met, priced))),
        defined("entering", act="stage_entered", requires=Condition(all_of=(priced, Condition(none_of=(met,))))),
        defined("skipping", act="stage_skipped", requires=priced),
    )
    said = {one.gate.key: one.verdict for one in preview(state_after(), SHORT, held_to)}
    assert said == {"completing": "passes", "entering": "passes", "skipping": "refused"}


def test_what_has_ended_or_rests_is_not() -> None:
    assert shown(Lose(reason="price")) == []
    assert shown(Pause(reason="budget")) == []


def test_a_concession_is_foreseen_by_what_is_agreed_already() -> None:
    paid = ConcessionGranted(
        concession=Concession(kind="payment_terms", payment_days=0), reason="prepaid", authority_version=1
    )
    held_to = gates(MATRIX, defined("terms", of=PRICE_FOR_TERMS))
    before, after = (given(Deals(), [*story(), *facts]).state for facts in ([], [(paid, LATER)]))
    assert [one.verdict for one in preview(before, SHORT, held_to)] == ["warns", "warns"]
    assert [one.verdict for one in preview(after, SHORT, held_to)] == ["passes", "passes"]


def test_the_former_promise_is_not_the_next_one() -> None:
    agreed = Concession(kind="non_standard_promise", promise="Imported bearings", agreed_by=("quality",))
    granted = ConcessionGranted(concession=agreed, reason="asked", authority_version=1)
    state = given(Deals(), [*story(), (granted, LATER)]).state
    held_to = gates(MATRIX, defined("promises", of=PROMISE_AGREED))
    assert [one.verdict for one in preview(state, SHORT, held_to)] == ["refused"]


def test_the_default_book_refuses_no_step_of_a_sale() -> None:
    book = tuple(defined(key, of=command.rule) for key, command in DEFAULT_GATES.items())
    said = preview(state_after(*FIRST_STAGE), SHORT, gates(MATRIX, *book))
    assert {one.gate.key for one in said if one.verdict == "refused"} == {"promise_agreed"}
