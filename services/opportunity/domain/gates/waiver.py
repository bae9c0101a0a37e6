"""Leave to pass a gate without what it requires: asked for, approved by another person, refused, run out (R5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from services.opportunity.domain.commands import Command
from services.opportunity.domain.gates.book import GateBook, unknown_gate
from services.opportunity.domain.opportunity.state import OpportunityState
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import EntityId, GateWaived, Text, WaiverApproved, WaiverRefused, WaiverRequested
from shared.contracts.opportunity.gates import Key
from shared.contracts.refusal import RefusedError, refuse
from shared.kit.moments import Moment

LONGEST = timedelta(days=90)
MAY_DECIDE = frozenset({"manager", "executive"})
Status = Literal["requested", "approved", "refused", "expired"]


class RequestWaiver(Command):
    """For one gate and one opportunity, until a day that is at most 90 days ahead."""

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


@dataclass(frozen=True, slots=True)
class WaiverState:
    """`asked` None: there is no such waiver; `answer`: how it was decided, if it was."""

    asked: WaiverRequested | None = None
    answer: WaiverApproved | WaiverRefused | None = None


def evolve_waiver(state: WaiverState, e: Recorded[Any]) -> WaiverState:
    match e.event:
        case WaiverRequested():
            return WaiverState(e.event)
        case WaiverApproved() | WaiverRefused():
            return WaiverState(state.asked, e.event)
    return state


def status(state: WaiverState, now: datetime) -> Status:
    """That it has run out is told by the clock."""
    match state.answer:
        case WaiverRefused():
            return "refused"
        case WaiverApproved(expires_at=ends):
            return "approved" if ends > now else "expired"
    return "requested" if state.asked is not None and state.asked.expires_at > now else "expired"


def decide_request(
    command: RequestWaiver, book: GateBook, opportunity: OpportunityState, now: datetime, actor: str
) -> Sequence[Event]:
    """Only a gate that can be waived is; not when it is waived at least as long already."""
    version = check_waivable(book, command.gate, opportunity, now)
    if not now < command.expires_at <= now + LONGEST:
        raise refuse(
            "bad_expiry",
            f"a waiver until {command.expires_at.isoformat()} cannot be given",
            field="expires_at",
            expected=f"after {now.isoformat()}, at most {LONGEST.days} days ahead",
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
            requested_by=actor,
            reason=command.reason,
            expires_at=command.expires_at,
        )
    ]


def decide_approve(
    state: WaiverState, command: ApproveWaiver, waiver_id: str, now: datetime, actor: str, roles: frozenset[str]
) -> tuple[Sequence[Event], Sequence[Event]]:
    """(for the waiver, for its opportunity). Nothing to do for whoever has approved it already."""
    asked = _decidable(state, now, actor, roles, WaiverApproved, state.answer)
    if asked is None:
        return (), ()
    ends = command.expires_at or asked.expires_at
    if not now < ends <= asked.expires_at:
        raise refuse(
            "bad_expiry",
            f"it was asked for until {asked.expires_at.isoformat()}",
            field="expires_at",
            expected=f"after {now.isoformat()}, no later than that",
            kind="input",
        )
    approved = WaiverApproved(approved_by=actor, expires_at=ends, note=command.note)
    waived = GateWaived(
        waiver_id=waiver_id,
        gate=asked.gate,
        requested_by=asked.requested_by,
        approved_by=actor,
        reason=asked.reason,
        expires_at=ends,
    )
    return (approved,), (waived,)


def decide_refuse(
    state: WaiverState, command: RefuseWaiver, now: datetime, actor: str, roles: frozenset[str]
) -> Sequence[Event]:
    """Nothing to do for whoever has refused it already."""
    asked = _decidable(state, now, actor, roles, WaiverRefused, state.answer)
    return () if asked is None else (WaiverRefused(refused_by=actor, reason=command.reason),)


def _decidable(
    state: WaiverState,
    now: datetime,
    actor: str,
    roles: frozenset[str],
    kind: type[WaiverApproved | WaiverRefused],
    answer: WaiverApproved | WaiverRefused | None,
) -> WaiverRequested | None:
    """What was asked for, if this person may decide on it now; None: this person has decided so already."""
    if state.asked is None:
        raise refuse("not_found", "there is no such waiver", kind="missing")
    if not roles & MAY_DECIDE:
        raise refuse(
            "role_missing",
            "a waiver is decided by a manager or an executive",
            expected=f"one of the roles {', '.join(sorted(MAY_DECIDE))}",
            kind="forbidden",
        )
    if actor == state.asked.requested_by:
        raise refuse(
            "own_request",
            "nobody decides on their own request",
            expected="another manager or executive who sees the opportunity",
            kind="forbidden",
        )
    if answer is not None:
        by = answer.approved_by if isinstance(answer, WaiverApproved) else answer.refused_by
        if isinstance(answer, kind) and by == actor:
            return None
        word = "approved" if isinstance(answer, WaiverApproved) else "refused"
        raise refuse("decided_already", f"{by} has {word} it", expected="a new request")
    if status(state, now) == "expired":
        raise refuse(
            "waiver_expired", f"it was asked for until {state.asked.expires_at.isoformat()}", expected="a new request"
        )
    return state.asked


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
