"""Waivers: asked for, approved by another person, refused, run out."""

from datetime import timedelta
from typing import Any

import pytest

from services.opportunity.domain.gates.waiver import (
    ApproveWaiver,
    RefuseWaiver,
    RequestWaiver,
    WaiverState,
    Who,
    WithdrawWaiver,
    decide_request,
    evolve_waiver,
    said_at,
    status,
)
from services.opportunity.domain.gates.waiver_answer import decide_approve, decide_refuse, decide_withdraw
from services.opportunity.domain.opportunity.outcome import Lose
from shared.contracts.event import Event
from shared.contracts.opportunity import (
    GateRetired,
    GateWaived,
    WaiverApproved,
    WaiverRefused,
    WaiverRequested,
    WaiverWithdrawn,
)
from shared.contracts.refusal import RefusedError
from shared.testing.given import START, Result, given
from tests.services.opportunity.deals import LATER, OTHER, OWNER, Deals, state_after, story
from tests.services.opportunity.domain.gates.rules import DAY, MATRIX, book, defined

UNTIL = LATER + 30 * DAY
ASKED = WaiverRequested(
    gate="gate", gate_version=1, opportunity_id=OWNER, requested_by="ann", reason="year end", expires_at=UNTIL
)
APPROVED = WaiverApproved(approved_by="lin", expires_at=UNTIL)
REFUSED = WaiverRefused(refused_by="lin", reason="no")
WITHDRAWN = WaiverWithdrawn(withdrawn_by="ann", reason="signed")
ANN, LIN = "00000000-0000-4000-8000-0000000000aa", "00000000-0000-4000-8000-0000000000bb"
ANNS = ASKED.model_copy(update={"requested_by_person": ANN})
WAIVED = GateWaived(
    waiver_id=OTHER, gate="gate", requested_by="ann", approved_by="lin", reason="year end", expires_at=UNTIL
)


class Waivers:
    """`WAIVER` without the store."""

    category, initial, evolve = "waiver", WaiverState(), staticmethod(evolve_waiver)


def requesting(
    *facts: Event, gate: str = "gate", days: int = 30, deal: Any = None, person_id: str | None = None
) -> Result:
    command = RequestWaiver(gate=gate, opportunity_id=OWNER, reason="year end", expires_at=LATER + days * DAY)
    state = deal or state_after()
    return given(Waivers()).when(lambda _: decide_request(command, book(*facts), state, LATER, Who("ann", person_id)))


def approving(
    *facts: Event,
    by: str = "lin",
    person_id: str | None = None,
    roles: tuple[str, ...] = ("manager",),
    command: ApproveWaiver | None = None,
) -> Result:
    def decide(state: WaiverState) -> list[Event]:
        who = Who(by, person_id)
        approved, waived = decide_approve(state, command or ApproveWaiver(), OTHER, LATER, who, frozenset(roles))
        return [*approved, *waived]

    return given(Waivers(), facts).when(decide)


def refusing(
    *facts: Event, by: str = "lin", person_id: str | None = None, roles: tuple[str, ...] = ("manager",)
) -> Result:
    command, who = RefuseWaiver(reason="no"), Who(by, person_id)
    return given(Waivers(), facts).when(lambda state: decide_refuse(state, command, LATER, who, frozenset(roles)))


def withdrawing(*facts: Event, by: str = "ann", person_id: str | None = None) -> Result:
    command, who = WithdrawWaiver(reason="signed"), Who(by, person_id)
    return given(Waivers(), facts).when(lambda state: decide_withdraw(state, command, who))


def test_it_is_asked_for_with_the_version_in_force() -> None:
    requesting(defined()).then(ASKED)
    requesting(defined(), person_id=ANN).then(ANNS)


def test_only_for_a_gate_that_can_be_opened() -> None:
    requesting().refused("unknown_gate")
    requesting(defined(mode="warn")).refused("not_waivable")
    requesting(defined(mode="stop")).refused("not_waivable")
    requesting(defined(), GateRetired(key="gate", effective_from=START, reason="over")).refused("gate_not_in_force")


def test_not_for_ever_and_not_for_yesterday() -> None:
    requesting(defined(), days=91).refused("bad_expiry")
    requesting(defined(), days=0).refused("bad_expiry")


def test_how_long_at_most_is_for_the_authority_matrix_to_say() -> None:
    shorter = MATRIX.model_copy(update={"longest_waiver_days": 29})
    requesting(defined(), MATRIX).then(ASKED)
    requesting(defined(), shorter).refused("bad_expiry")
    requesting(defined(), shorter, MATRIX.model_copy(update={"longest_waiver_days": 30})).then(ASKED)


def test_not_for_what_has_ended_nor_twice() -> None:
    requesting(defined(), deal=state_after(Lose(reason="price"))).refused("already_lost")
    waived = given(Deals(), [*story(), (WAIVED, LATER)]).state
    requesting(defined(), deal=waived).refused("waived_already")
    requesting(defined(), days=31, deal=waived).then(ASKED.model_copy(update={"expires_at": UNTIL + timedelta(days=1)}))


def test_another_person_approves_and_the_opportunity_is_told() -> None:
    approving(ASKED).then([APPROVED, WAIVED])
    approving(ASKED, roles=("executive",)).then([APPROVED, WAIVED])


def test_nobody_approves_their_own_request_whatever_their_role() -> None:
    approving(ASKED, by="ann", roles=("executive", "manager")).refused("own_request")
    refusing(ASKED, by="ann").refused("own_request")


def test_a_second_login_is_the_same_person() -> None:
    approving(ANNS, by="ann.admin", person_id=ANN).refused("own_request")
    refusing(ANNS, by="ann.admin", person_id=ANN).refused("own_request")
    approving(ANNS, by="ann", person_id=LIN).refused("own_request")
    approving(ANNS, person_id=LIN).then([APPROVED, WAIVED])


def test_it_is_withdrawn_by_the_one_who_asked_while_nobody_has_decided() -> None:
    withdrawing(ASKED).then(WITHDRAWN)
    withdrawing(ANNS, by="ann.new", person_id=ANN).then(WITHDRAWN.model_copy(update={"withdrawn_by": "ann.new"}))
    withdrawing(ASKED, WITHDRAWN).nothing()
    withdrawing(ANNS, by="lin", person_id=LIN).refused("not_your_request")
    withdrawing(ASKED, APPROVED).refused("decided_already")
    withdrawing().refused("not_found")
    approving(ASKED, WITHDRAWN).refused("decided_already")


def test_no_word_on_it_is_earlier_than_what_it_rests_on() -> None:
    assert said_at(LATER, UNTIL, LATER, "it was asked for") == LATER
    assert said_at(None, UNTIL, LATER, "it was asked for") == UNTIL
    assert said_at(None, LATER, UNTIL, "it was asked for") == UNTIL  # asked for by a clock that is ahead
    with pytest.raises(RefusedError) as refusal:
        said_at(LATER - DAY, UNTIL, LATER, "it was asked for")
    assert refusal.value.reasons[0].code == "out_of_order"


def test_whoever_has_not_the_role_does_not() -> None:
    approving(ASKED, roles=("seller", "operations")).refused("role_missing")


def test_it_may_be_approved_for_less_but_not_for_longer() -> None:
    sooner = LATER + DAY
    approving(ASKED, command=ApproveWaiver(expires_at=sooner)).then(
        [APPROVED.model_copy(update={"expires_at": sooner}), WAIVED.model_copy(update={"expires_at": sooner})]
    )
    approving(ASKED, command=ApproveWaiver(expires_at=UNTIL + DAY)).refused("bad_expiry")


def test_it_is_decided_once() -> None:
    approving(ASKED, APPROVED).nothing()
    approving(ASKED, APPROVED, by="mei").refused("decided_already")
    approving(ASKED, REFUSED).refused("decided_already")
    refusing(ASKED, REFUSED).nothing()
    refusing(ASKED).then(REFUSED)


def test_what_has_run_out_is_not_approved_any_more() -> None:
    approving(ASKED.model_copy(update={"expires_at": LATER})).refused("waiver_expired")
    approving().refused("not_found")


def test_the_clock_tells_that_it_has_run_out() -> None:
    asked, approved = WaiverState(ASKED), WaiverState(ASKED, LATER, APPROVED)
    assert (status(asked, LATER), status(asked, UNTIL)) == ("requested", "expired")
    assert (status(approved, LATER), status(approved, UNTIL)) == ("approved", "expired")
    assert status(WaiverState(ASKED, LATER, REFUSED), UNTIL) == "refused"
    assert status(WaiverState(ASKED, LATER, WITHDRAWN), UNTIL) == "withdrawn"
