"""Leave to pass a gate without what it requires: asked for by somebody, and how it stands (R5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from services.opportunity.domain.commands import Command
from services.opportunity.domain.gates.book import GateBook, unknown_gate
from services.opportunity.domain.opportunity.state import OpportunityState
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import (
    EntityId,
    Text,
    WaiverApproved,
    WaiverRefused,
    WaiverRequested,
    WaiverWithdrawn,
)
from shared.contracts.opportunity.gates import LONGEST_WAIVER_DAYS, Key
from shared.contracts.refusal import RefusedError, refuse
from shared.kit.moments import Moment

Status = Literal["requested", "approved", "refused", "withdrawn", "expired"]
Answer = WaiverApproved | WaiverRefused | WaiverWithdrawn


class RequestWaiver(Command):
    """For one gate and one opportunity, until a day that is no further ahead than the authority matrix says."""

    gate: Key
    opportunity_id: EntityId
    reason: Text
    expires_at: Moment


class ApproveWaiver(Command):
    """`expires_at`: earlier than was asked for, if that is too long."""

    expires_at: Moment | None = None
    note: Text | None = None


class RefuseWaiver(Command):
    reason: Text


class WithdrawWaiver(Command):
    """By the one who asked, as long as nobody has decided."""

    reason: Text | None = None


@dataclass(frozen=True, slots=True)
class Who:
    """A login, and who that is: None where the login is nobody's whom we know."""

    login: str
    person_id: str | None = None

    def asked(self, request: WaiverRequested) -> bool:
        """Is it the one who asked? A login may change hands, and a person may change logins."""
        same = self.person_id is not None and self.person_id == request.requested_by_person
        return same or self.login == request.requested_by


@dataclass(frozen=True, slots=True)
class WaiverState:
    """`asked` None: there is no such waiver; `asked_at` in business time; `answer`: how it was decided, if it was."""

    asked: WaiverRequested | None = None
    asked_at: datetime | None = None
    answer: Answer | None = None


def evolve_waiver(state: WaiverState, e: Recorded[Any]) -> WaiverState:
    match e.event:
        case WaiverRequested():
            return WaiverState(e.event, e.occurred_at)
        case WaiverApproved() | WaiverRefused() | WaiverWithdrawn():
            return WaiverState(state.asked, state.asked_at, e.event)
    return state


def status(state: WaiverState, now: datetime) -> Status:
    """That it has run out is told by the clock."""
    match state.answer:
        case WaiverRefused():
            return "refused"
        case WaiverWithdrawn():
            return "withdrawn"
        case WaiverApproved(expires_at=ends):
            return "approved" if ends > now else "expired"
    return "requested" if state.asked is not None and state.asked.expires_at > now else "expired"


def decide_request(
    command: RequestWaiver, book: GateBook, opportunity: OpportunityState, now: datetime, who: Who
) -> Sequence[Event]:
    """Only a gate that can be waived is; not when it is waived at least as long already."""
    version = check_waivable(book, command.gate, opportunity, now)
    longest = longest_days(book, now)
    if not now < command.expires_at <= now + timedelta(days=longest):
        raise refuse(
            "bad_expiry",
            f"a waiver until {command.expires_at.isoformat()} cannot be given",
            field="expires_at",
            expected=f"after {now.isoformat()}, at most {longest} days ahead",
            kind="input",
        )
    known = opportunity.waivers.get(command.gate)
    if known is not None and known.expires_at >= command.expires_at:
        raise refuse(
            "waived_already",
            f"waiver {known.waiver_id} lets it pass until {known.expires_at.isoformat()}",
            field="gate",
            expected="nothing: go on",
        )
    return [
        WaiverRequested(
            gate=command.gate,
            gate_version=version,
            opportunity_id=command.opportunity_id,
            requested_by=who.login,
            requested_by_person=who.person_id,
            reason=command.reason,
            expires_at=command.expires_at,
        )
    ]


def longest_days(book: GateBook, now: datetime) -> int:
    """How far ahead a waiver may end, by the authority matrix in force."""
    matrix = book.authority(now)
    return LONGEST_WAIVER_DAYS if matrix is None else matrix.longest_waiver_days


def said_at(said: datetime | None, now: datetime, first: datetime, what: str) -> datetime:
    """The business time of a word on a waiver: as it was said, not before `first`, when `what` was. Where nothing was said it is
    now, or `first` by a clock that is a little ahead."""
    if said is None:
        return max(now, first)
    if said < first:
        raise refuse(
            "out_of_order",
            f"{said.isoformat()} lies before {first.isoformat()}, when {what}",
            field="occurred_at",
            expected=f"{first.isoformat()} or later",
            kind="input",
        )
    return said


def check_waivable(book: GateBook, key: str, opportunity: OpportunityState, now: datetime) -> int:
    """The version of the gate in force. Refuses a gate that lets pass anyway, one that nobody passes, and a deal that has ended."""
    if opportunity.closed:
        raise refuse(f"already_{opportunity.outcome}", f"the opportunity is {opportunity.outcome}")
    if key not in book.entries:
        raise unknown_gate(book, key)
    gate = book.in_force(key, now)
    if gate is None:
        raise refuse("gate_not_in_force", f"gate {key} is not in force", field="gate", expected="nothing: go on")
    if gate.rule.mode != "control":
        raise _not_waivable(key, gate.rule.mode)
    return gate.version


def _not_waivable(key: str, mode: str) -> RefusedError:
    what = "only warns: it lets pass" if mode == "warn" else "stops everybody: no waiver opens it"
    expected = "nothing: go on" if mode == "warn" else "what the gate requires, or another rule"
    return refuse("not_waivable", f"gate {key} {what}", field="gate", expected=expected)
