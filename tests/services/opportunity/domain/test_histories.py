"""Random histories: whatever is commanded, R1 holds, the page tells the truth, and business time changes no outcome."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.opportunity.domain.assessment import effort, scoring
from services.opportunity.domain.forecast.category import Forecast, Judgement
from services.opportunity.domain.opportunity import concessions, files, outcome, progress, terms
from services.opportunity.domain.opportunity.decide import Circumstances, blocked, decide
from services.opportunity.domain.opportunity.page import COMMANDS, position
from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from shared.contracts.event import Recorded
from shared.contracts.opportunity import Concession, Shown
from shared.contracts.refusal import RefusedError
from shared.kit.money import Money
from shared.testing.given import START, history
from tests.services.opportunity.deals import LATER, OPENED, OTHER, OWNER, SEEN, SHORT, circumstances
from tests.services.opportunity.domain.gates.rules import MATRIX, gates
from tests.services.opportunity.judged import MODEL

stages = st.integers(1, 3)
maybe_stage = st.none() | st.integers(1, 4)
milestones = st.sampled_from(["called", "priced", "visited"])
criteria = st.sampled_from(["meeting", "shortlisted", "preferred", "terms", "signed"])
amounts = st.builds(Money, minor=st.integers(-1, 4), currency=st.sampled_from(["CNY", "USD"]))
scores = st.fixed_dictionaries({"funding": st.integers(0, 5), "fit": st.integers(0, 6)})
decisions = st.sampled_from([None, "pursue", "lower_effort", "drop"])
reasons = st.just("because")
evidence = st.sampled_from([SEEN, SEEN, SEEN.model_copy(update={"kind": "file", "files": (OWNER,)})])

COMMAND_STRATEGIES: dict[type[Any], st.SearchStrategy[Any]] = {
    progress.ReachMilestone: st.builds(
        progress.ReachMilestone, milestone=milestones, stage=maybe_stage, evidence=evidence
    ),
    progress.GiveCommitment: st.builds(
        progress.GiveCommitment, criterion=criteria, stage=maybe_stage, evidence=evidence
    ),
    progress.RetractMilestone: st.builds(
        progress.RetractMilestone, milestone=milestones, stage=maybe_stage, reason=reasons
    ),
    progress.RetractCommitment: st.builds(
        progress.RetractCommitment, criterion=criteria, stage=maybe_stage, reason=reasons
    ),
    progress.SkipStage: st.builds(progress.SkipStage, stage=st.integers(1, 4), reason=reasons),
    progress.RegressStage: st.builds(progress.RegressStage, to_completed=st.integers(0, 3), reason=reasons),
    progress.ObserveBuyingStage: st.builds(progress.ObserveBuyingStage, stage=st.integers(1, 4), evidence=evidence),
    progress.DecideRisk: st.builds(
        progress.DecideRisk, decision=st.sampled_from(["catch_up", "give_up"]), reason=reasons
    ),
    progress.AssertProgress: st.builds(progress.AssertProgress, completed_stage=st.integers(1, 4), note=reasons),
    terms.ChangeAmount: st.builds(terms.ChangeAmount, amount=amounts),
    terms.ChangeCloseDate: st.builds(
        terms.ChangeCloseDate, close_date=st.dates(START.date(), START.date() + timedelta(3))
    ),
    terms.AgreeLineItems: st.builds(terms.AgreeLineItems, line_items=st.just(())),
    terms.AssignOwner: st.builds(terms.AssignOwner, owner_id=st.sampled_from([None, OWNER, OTHER])),
    terms.AssignTeam: st.builds(terms.AssignTeam, team_id=st.sampled_from([None, OWNER])),
    terms.AssignAccount: st.builds(terms.AssignAccount, account_id=st.sampled_from([None, OWNER])),
    terms.Rename: st.builds(terms.Rename, name=st.sampled_from(["a", "b"])),
    terms.Comment: st.builds(terms.Comment, text=reasons),
    terms.Flag: st.builds(terms.Flag, flags=st.sampled_from([(), ("doubt",)])),
    files.AttachFile: st.builds(
        files.AttachFile,
        file_id=st.sampled_from([OWNER, OTHER]),
        name=reasons,
        media_type=st.just("text/plain"),
        size=st.just(1),
        sha256=st.just("0" * 64),
        shows=st.none() | st.builds(Shown, stage=stages, kind=st.just("milestone"), code=milestones),
    ),
    scoring.Assess: st.builds(scoring.Assess, scores=scores, decision=decisions, reason=st.none() | reasons),
    effort.SpendEffort: st.builds(
        effort.SpendEffort, visits=st.integers(-2, 3), minutes=st.integers(-2, 3), note=st.none() | reasons
    ),
    Forecast: st.builds(
        Forecast,
        category=st.sampled_from([None, "commit", "omitted", "closed"]),
        judgement=st.none() | st.builds(Judgement, amount=st.none() | amounts, note=st.none() | reasons),
    ),
    concessions.GrantConcessions: st.builds(
        concessions.GrantConcessions,
        concessions=st.tuples(st.builds(Concession, kind=st.just("discount"), discount_bp=st.integers(1, 3))),
        reason=reasons,
    ),
    outcome.Win: st.builds(outcome.Win, amount=st.none() | amounts, evidence=evidence),
    outcome.Lose: st.builds(outcome.Lose, reason=reasons),
    outcome.Abandon: st.builds(outcome.Abandon, reason=reasons),
    outcome.Pause: st.builds(outcome.Pause, reason=reasons),
    outcome.Resume: st.builds(outcome.Resume),
    outcome.Reopen: st.builds(outcome.Reopen, reason=reasons),
}
ENDINGS = (outcome.Lose, outcome.Abandon, outcome.Pause)
likely = st.sampled_from([kind for kind in COMMAND_STRATEGIES if kind not in ENDINGS for _ in range(3)])
commands = (likely | st.sampled_from(list(COMMAND_STRATEGIES))).flatmap(lambda kind: COMMAND_STRATEGIES[kind])
hours = st.just(None) | st.integers(-1, 40)  # an occurred_at of its own, in hours since the opening
histories = st.lists(st.tuples(commands, hours), max_size=30)


def _given(moment: datetime) -> Circumstances:
    return dataclasses.replace(circumstances(moment, model=MODEL), gates=gates(MATRIX), roles=frozenset({"seller"}))


def played(steps: list[tuple[Any, int | None]]) -> list[list[Recorded[Any]]]:
    """The facts after each step; refused steps add none. Raises whatever is no refusal."""
    facts: list[Any] = [OPENED]
    state = INITIAL
    for recorded in history("opportunity", facts):
        state = evolve(state, recorded)
    stages_of_it = [history("opportunity", facts)]
    for index, (command, at) in enumerate(steps, 1):
        moment = START + timedelta(hours=index if at is None else at)
        try:
            decided = decide(state, command, _given(moment))
        except RefusedError as refusal:
            assert refusal.reasons  # noqa: PT017
            continue
        facts += [(event, moment) for event in decided]
        new = history("opportunity", facts)
        for recorded in new[len(stages_of_it[-1]) :]:
            state = evolve(state, recorded)
        stages_of_it.append(new)
    return stages_of_it


def folded(facts: list[Recorded[Any]]) -> OpportunityState:
    state = INITIAL
    for recorded in facts:
        state = evolve(state, recorded)
    return state


def in_business_time(facts: list[Recorded[Any]], until: datetime | None = None) -> list[Recorded[Any]]:
    due = [one for one in facts if until is None or one.occurred_at <= until]
    return sorted(due, key=lambda one: (one.occurred_at, one.version))


def check_r1(state: OpportunityState) -> None:
    last, completed, entered = len(SHORT.selling), state.completed_stage, state.entered_stage
    assert 0 <= completed <= last
    for number in range(1, completed + 1):
        if number not in state.skipped:
            stage = SHORT.selling[number - 1]
            assert all((number, "milestone", one.code) in state.evidence for one in stage.milestones)
            assert all((number, "criterion", one.code) in state.evidence for one in stage.criteria)
    assert all(key[0] <= completed + 1 for key in state.evidence)
    if completed == last:
        assert entered is None
    else:
        working = SHORT.selling[completed]
        there = all((working.number, "milestone", one.code) in state.evidence for one in working.milestones)
        anything = any(key[0] == working.number for key in state.evidence)
        assert entered == (working.number if there and anything else None)
        assert (
            not all((working.number, "criterion", one.code) in state.evidence for one in working.criteria) or not there
        )
    at = position(state, SHORT)
    assert 0 <= at.probability_low <= at.probability_high <= 100
    assert (at.probability_low == at.probability_high) == (entered is None or state.closed)
    assert 1 <= state.buying_stage <= last
    assert state.outcome != "won" or completed == last
    assert state.amount is None or state.amount.minor >= 0


def test_every_command_has_a_strategy() -> None:
    lacking = {kind.__name__ for kind in COMMANDS} - {kind.__name__ for kind in COMMAND_STRATEGIES}
    assert lacking == set(), "add to COMMAND_STRATEGIES how such a command is made at random: histories then contain it"


@settings(deadline=None)
@given(histories)
def test_r1_holds_after_every_decision(steps: list[tuple[Any, int | None]]) -> None:
    for facts in played(steps):
        check_r1(folded(facts))


@settings(deadline=None)
@given(histories)
def test_the_order_of_business_time_and_of_knowledge_lead_to_the_same_state(
    steps: list[tuple[Any, int | None]],
) -> None:
    for facts in played(steps):
        assert folded(in_business_time(facts)) == folded(facts)


@settings(deadline=None)
@given(histories)
def test_r1_held_at_every_moment_of_business_time(steps: list[tuple[Any, int | None]]) -> None:
    facts = played(steps)[-1]
    for moment in {one.occurred_at for one in facts}:
        check_r1(folded(in_business_time(facts, moment)))


@settings(deadline=None)
@given(histories, st.data())
def test_what_the_page_allows_is_what_is_decided(steps: list[tuple[Any, int | None]], data: st.DataObject) -> None:
    state = folded(played(steps)[-1])
    for action, kind in zip(position(state, SHORT).actions, COMMANDS, strict=True):
        if action.allowed:
            assert blocked(state, kind) is None
            continue
        try:
            decided = decide(state, data.draw(COMMAND_STRATEGIES[kind]), _given(LATER))
        except RefusedError:
            continue
        raise AssertionError(f"{action} is said not to be allowed, and leads to {decided}")


@settings(deadline=None)
@given(histories)
def test_an_allowed_move_has_a_command_that_is_accepted(steps: list[tuple[Any, int | None]]) -> None:
    state = folded(played(steps)[-1])
    completed = state.completed_stage
    of_kind = {kind: [key for key in state.evidence if key[1] == kind] for kind in ("milestone", "criterion")}
    moves: dict[str, Any] = {
        "win": outcome.Win(evidence=SEEN),
        "lose": outcome.Lose(reason="r"),
        "abandon": outcome.Abandon(reason="r"),
        "pause": outcome.Pause(reason="r"),
        "resume": outcome.Resume(),
        "reopen": outcome.Reopen(reason="r"),
        "skip": progress.SkipStage(stage=completed + 1, reason="r"),
        "regression": progress.RegressStage(to_completed=max(completed - 1, 0), reason="r"),
        "risk_decision": progress.DecideRisk(decision="give_up", reason="r"),
    }
    if of_kind["milestone"]:
        stage, _, code = of_kind["milestone"][0]
        moves["retract_milestone"] = progress.RetractMilestone(milestone=code, stage=stage, reason="r")
    if of_kind["criterion"]:
        stage, _, code = of_kind["criterion"][0]
        moves["retract_commitment"] = progress.RetractCommitment(criterion=code, stage=stage, reason="r")
    for action in position(state, SHORT).actions:
        if action.allowed and action.action in moves:
            decide(state, moves[action.action], _given(LATER))


@settings(deadline=None)
@given(histories)
def test_what_was_just_said_is_nothing_to_do_again(steps: list[tuple[Any, int | None]]) -> None:
    state = folded(played(steps)[-1])
    again = [
        terms.ChangeAmount(amount=state.amount) if state.amount else terms.Rename(name=state.name),
        terms.AssignOwner(owner_id=state.owner_id),
        terms.Flag(flags=state.flags),
        *(
            progress.ReachMilestone(milestone=c, stage=n, evidence=SEEN)
            for n, k, c in state.evidence
            if k == "milestone"
        ),
        progress.ObserveBuyingStage(stage=state.buying_stage, evidence=SEEN),
    ]
    for command in again:
        if blocked(state, type(command)) is None:
            assert list(decide(state, command, _given(LATER))) == []


def test_a_state_cannot_be_changed_in_place() -> None:
    state = folded(history("opportunity", [OPENED]))
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    assert not [name for name, value in fields.items() if isinstance(value, dict | list | set)]
