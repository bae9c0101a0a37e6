"""How a waiver that was asked for ends: approved or refused by another person, or withdrawn by the one who asked (R5)."""

from collections.abc import Sequence
from datetime import datetime

from services.opportunity.domain.gates.waiver import (
    Answer,
    ApproveWaiver,
    RefuseWaiver,
    WaiverState,
    Who,
    WithdrawWaiver,
    status,
)
from shared.contracts.event import Event
from shared.contracts.opportunity import GateWaived, WaiverApproved, WaiverRefused, WaiverRequested, WaiverWithdrawn
from shared.contracts.refusal import RefusedError, refuse

MAY_DECIDE = frozenset({"manager", "executive"})


def decide_approve(
    state: WaiverState, command: ApproveWaiver, waiver_id: str, now: datetime, who: Who, roles: frozenset[str]
) -> tuple[Sequence[Event], Sequence[Event]]:
    """(for the waiver, for its opportunity). Nothing to do for whoever has approved it already."""
    asked = _decidable(state, now, who, roles, WaiverApproved)
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
    approved = WaiverApproved(approved_by=who.login, expires_at=ends, note=command.note)
    waived = GateWaived(
        waiver_id=waiver_id,
        gate=asked.gate,
        requested_by=asked.requested_by,
        approved_by=who.login,
        reason=asked.reason,
        expires_at=ends,
    )
    return (approved,), (waived,)


def decide_refuse(
    state: WaiverState, command: RefuseWaiver, now: datetime, who: Who, roles: frozenset[str]
) -> Sequence[Event]:
    """Nothing to do for whoever has refused it already."""
    asked = _decidable(state, now, who, roles, WaiverRefused)
    return () if asked is None else (WaiverRefused(refused_by=who.login, reason=command.reason),)


def decide_withdraw(state: WaiverState, command: WithdrawWaiver, who: Who) -> Sequence[Event]:
    """Nothing to do when it is withdrawn already. What has been approved counts: the opportunity relies on it."""
    if state.asked is None:
        raise _none()
    if not who.asked(state.asked):
        raise refuse(
            "not_your_request",
            "somebody else asked for it",
            expected="a refusal, by a manager or an executive",
            kind="forbidden",
        )
    if isinstance(state.answer, WaiverWithdrawn):
        return ()
    if state.answer is not None:
        raise _decided(state.answer)
    return (WaiverWithdrawn(withdrawn_by=who.login, reason=command.reason),)


def _decidable(
    state: WaiverState, now: datetime, who: Who, roles: frozenset[str], kind: type[Answer]
) -> WaiverRequested | None:
    """What was asked for, if this person may decide on it now; None: this person has decided so already."""
    if state.asked is None:
        raise _none()
    if not roles & MAY_DECIDE:
        raise refuse(
            "role_missing",
            "a waiver is decided by a manager or an executive",
            expected=f"one of the roles {', '.join(sorted(MAY_DECIDE))}",
            kind="forbidden",
        )
    if who.asked(state.asked):
        raise refuse(
            "own_request",
            "nobody decides on their own request",
            expected="another manager or executive who sees the opportunity",
            kind="forbidden",
        )
    if state.answer is not None:
        if isinstance(state.answer, kind) and _by(state.answer) == who.login:
            return None
        raise _decided(state.answer)
    if status(state, now) == "expired":
        raise refuse(
            "waiver_expired", f"it was asked for until {state.asked.expires_at.isoformat()}", expected="a new request"
        )
    return state.asked


def _by(answer: Answer) -> str:
    match answer:
        case WaiverApproved():
            return answer.approved_by
        case WaiverRefused():
            return answer.refused_by
        case WaiverWithdrawn():
            return answer.withdrawn_by


def _decided(answer: Answer) -> RefusedError:
    words = {WaiverApproved: "approved", WaiverRefused: "refused", WaiverWithdrawn: "withdrawn"}
    return refuse("decided_already", f"{_by(answer)} has {words[type(answer)]} it", expected="a new request")


def _none() -> RefusedError:
    return refuse("not_found", "there is no such waiver", kind="missing")
