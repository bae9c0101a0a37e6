"""Waivers: asked for, approved by another person, refused, run out."""

from datetime import timedelta
from typing import Any

from services.opportunity.domain.gates.waiver import (
    ApproveWaiver,
    RefuseWaiver,
    RequestWaiver,
    WaiverState,
    decide_approve,
    decide_refuse,
    decide_request,
    evolve_waiver,
    status,
)
from services.opportunity.domain.opportunity.outcome import Lose
from shared.contracts.event import Event
from shared.contracts.opportunity import GateRetired, GateWaived, WaiverApproved, WaiverRefused, WaiverRequested
from shared.testing.given import START, Result, given
from tests.services.opportunity.deals import LATER, OTHER, OWNER, Deals, state_after, story
from tests.services.opportunity.domain.gates.rules import DAY, book, defined

UNTIL = LATER + 30 * DAY
ASKED = WaiverRequested(
    gate="gate", gate_version=1, opportunity_id=OWNER, requested_by="ann", reason="year end", expires_at=UNTIL
)
APPROVED = WaiverApproved(approved_by="lin", expires_at=UNTIL)
REFUSED = WaiverRefused(refused_by="lin", reason="no")
WAIVED = GateWaived(
    waiver_id=OTHER, gate="gate", requested_by="ann", approved_by="lin", reason="year end", expires_at=UNTIL
)


class Waivers:
    """`WAIVER` without the store."""

    category, initial, evolve = "waiver", WaiverState(), staticmethod(evolve_waiver)


def requesting(*facts: Event, gate: str = "gate", days: int = 30, deal: Any = None) -> Result:
    command = RequestWaiver(gate=gate, opportunity_id=OWNER, reason="year end", expires_at=LATER + days * DAY)
    state = deal or state_after()
    return given(Waivers()).when(lambda _: decide_request(command, book(*facts), state, LATER, "ann"))


def approving(
    *facts: Event, by: str = "lin", roles: tuple[str, ...] = ("manager",), command: ApproveWaiver | None = None
) -> Result:
    def decide(state: WaiverState) -> list[Event]:
        approved, waived = decide_approve(state, command or ApproveWaiver(), OTHER, LATER, by, frozenset(roles))
        return [*approved, *waived]

    return given(Waivers(), facts).when(decide)


def refusing(*facts: Event, by: str = "lin", roles: tuple[str, ...] = ("manager",)) -> Result:
    command = RefuseWaiver(reason="no")
    return given(Waivers(), facts).when(lambda state: decide_refuse(state, command, LATER, by, frozenset(roles)))


def test_it_is_asked_for_with_the_version_in_force() -> None:
    requesting(defined()).then(ASKED)


def test_only_for_a_gate_that_can_be_opened() -> None:
    requesting().refused("unknown_gate")
    requesting(defined(mode="warn")).refused("not_waivable")
    requesting(defined(mode="stop")).refused("not_waivable")
    requesting(defined(), GateRetired(key="gate", effective_from=START, reason="over")).refused("gate_not_in_force")


def test_not_for_ever_and_not_for_yesterday() -> None:
    requesting(defined(), days=91).refused("bad_expiry")
    requesting(defined(), days=0).refused("bad_expiry")


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
    asked, approved = WaiverState(ASKED), WaiverState(ASKED, APPROVED)
    assert (status(asked, LATER), status(asked, UNTIL)) == ("requested", "expired")
    assert (status(approved, LATER), status(approved, UNTIL)) == ("approved", "expired")
    assert status(WaiverState(ASKED, REFUSED), UNTIL) == "refused"
