"""What a rule would have done to what is on record."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest

from services.opportunity.domain.gates import backtest
from services.opportunity.domain.gates.backtest import MOST_ROWS, Tally, replay
from services.opportunity.domain.gates.evaluate import Gates
from services.opportunity.domain.opportunity.outcome import Lose
from services.opportunity.domain.opportunity.progress import AssertProgress, RegressStage
from services.opportunity.domain.opportunity.terms import ChangeAmount
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import Condition, StageCompleted, StageEntered
from shared.testing.given import history
from tests.services.opportunity.deals import FIRST_STAGE, LATER, SHORT, story, win
from tests.services.opportunity.domain.gates.rules import DAY, FIVE, book, defined

ALL_DONE = AssertProgress(completed_stage=3, note="CRM")
PROCESSES = {("short", 1): SHORT}


def on_record(*commands: Any) -> list[Recorded[Any]]:
    """The facts, those of one command with one correlation."""
    facts = history("opportunity", story(*commands))
    ids = {fact.occurred_at: uuid4() for fact in facts}
    return [
        Recorded(f.position, f.event_id, f.stream_id, f.version, f.event, f.occurred_at, f.recorded_at, f.actor,
                 ids[f.occurred_at], None)
        for f in facts
    ]  # fmt: skip


def tried(*commands: Any, **fields: Any) -> list[tuple[str, int | None, bool]]:
    gates = Gates(book(defined(**fields)), LATER)
    met, _ = replay(on_record(*commands), PROCESSES, gates, None, None)
    return [(one.act.act, one.act.stage, one.fires) for one in met]


def test_an_act_on_record_is_decided_again() -> None:
    assert tried(ALL_DONE, win()) == [("win", None, True)]
    assert tried(ALL_DONE, win(FIVE)) == [("win", None, False)]
    assert tried(ChangeAmount(amount=FIVE), ALL_DONE, win()) == [("win", None, False)]


def test_what_came_later_was_not_known_then() -> None:
    assert tried(*FIRST_STAGE, ChangeAmount(amount=FIVE), act="stage_completed") == [("stage_completed", 1, True)]
    assert tried(ChangeAmount(amount=FIVE), *FIRST_STAGE, act="stage_completed") == [("stage_completed", 1, False)]


def test_it_says_what_the_command_was_told_when_it_was_decided() -> None:
    needed = Condition(fact="commitments", test="has", value="meeting")
    assert tried(*FIRST_STAGE, act="stage_completed", requires=needed) == [("stage_completed", 1, False)]


def test_going_back_is_no_act() -> None:
    back = RegressStage(to_completed=0, reason="stopped")
    events: list[Event] = [fact.event for fact in on_record(*FIRST_STAGE, back)]
    assert events.count(StageEntered(stage=1)) == 2
    assert StageCompleted(stage=1) in events
    assert tried(*FIRST_STAGE, back, act="stage_entered") == [("stage_entered", 1, True)]


def test_only_what_was_so_within_the_period() -> None:
    facts = on_record(ALL_DONE, win())
    gates, at = Gates(book(defined()), LATER), facts[-1].occurred_at
    assert len(replay(facts, PROCESSES, gates, at, at + DAY)[0]) == 1
    assert replay(facts, PROCESSES, gates, at + timedelta(seconds=1), None)[0] == []
    assert replay(facts, PROCESSES, gates, None, at)[0] == []


def test_the_tally_parts_those_it_fired_on_from_those_that_passed() -> None:
    tally, gates = Tally(), Gates(book(defined()), LATER)
    for number, commands in enumerate(
        (
            (ALL_DONE, win()),
            (ALL_DONE, win(FIVE)),
            (ChangeAmount(amount=FIVE), ALL_DONE, win()),
            (Lose(reason="price"),),
        )
    ):
        tally.add(str(number), *replay(on_record(*commands), PROCESSES, gates, None, None))
    told = tally.told()
    assert told["looked_at"] == 4
    assert told["fired"] == {"acts": 1, "opportunities": 1, "outcomes": {"won": {"none": [1, 0]}}}
    assert told["passed"] == {"acts": 2, "opportunities": 2, "outcomes": {"won": {"CNY": [2, 10]}}}
    assert [(row["opportunity_id"], row["act"], row["outcome"]) for row in told["rows"]] == [("0", "win", "won")]


def test_the_figures_count_what_the_rows_leave_out() -> None:
    tally, gates = Tally(), Gates(book(defined()), LATER)
    met, state = replay(on_record(ALL_DONE, win()), PROCESSES, gates, None, None)
    for _ in range(MOST_ROWS + 2):
        tally.add("x", met, state)
    assert (len(tally.rows), tally.rows_left_out, tally.fired.acts) == (MOST_ROWS, 2, MOST_ROWS + 2)


def test_what_is_kept_of_the_rows_has_a_bound_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    gates = Gates(book(defined()), LATER)
    met, state = replay(on_record(ALL_DONE, win()), PROCESSES, gates, None, None)
    tally = Tally()
    tally.add("x", met, state)
    monkeypatch.setattr(backtest, "MOST_BYTES", 2 * len(orjson.dumps(tally.rows[0])))
    for _ in range(3):
        tally.add("x", met, state)
    assert (len(tally.rows), tally.rows_left_out, tally.fired.acts) == (2, 2, 4)
