"""What can be done with gates, the authority matrix and waivers: used alike by the API, the seed and the demonstration.

Each function decides within a `Work`; what it refuses is a RefusedError.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from services.opportunity.commands import May, anyone
from services.opportunity.domain.commands import Command
from services.opportunity.domain.gates.book import (
    BOOK,
    DefineAuthority,
    DefineGate,
    RetireGate,
    decide_authority,
    decide_gate,
    decide_retire,
)
from services.opportunity.domain.gates.defaults import DEFAULT_AUTHORITY, DEFAULT_GATES
from services.opportunity.domain.gates.evaluate import GateRefusedError
from services.opportunity.domain.gates.waiver import (
    ApproveWaiver,
    RefuseWaiver,
    RequestWaiver,
    WaiverState,
    Who,
    WithdrawWaiver,
    check_waivable,
    decide_request,
    said_at,
)
from services.opportunity.domain.gates.waiver_answer import decide_approve, decide_refuse, decide_withdraw
from services.opportunity.entities import GATE_BOOK, OPPORTUNITY, WAIVER
from shared.contracts.event import Recorded
from shared.contracts.opportunity import GateStopped
from shared.eventstore.types import JsonObject
from shared.eventstore.work import Work
from shared.kit.ids import new_id

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # of the book that an installation begins with


async def define_gate(work: Work, key: str, command: DefineGate, *, new: bool) -> JsonObject:
    """A version of a gate: of a new one, or of one that is there."""
    book = (await work.state(GATE_BOOK, BOOK)).state
    events = decide_gate(book, key, command, work.context.now, new=new)
    work.append(GATE_BOOK, BOOK, *events, occurred_at=command.occurred_at)
    versions = (await work.state(GATE_BOOK, BOOK)).state.versions(key)
    return {"id": key, "created": bool(events), "gate_version": len(versions)}


async def define_default_book(work: Work) -> JsonObject:
    """Where nobody has said anything yet: it binds from the beginning. A house that has a book of its own keeps it."""
    book = (await work.state(GATE_BOOK, BOOK)).state
    if not book.entries and not book.authorities:
        work.append(GATE_BOOK, BOOK, *decide_authority(book, DEFAULT_AUTHORITY, BEGINNING))
        for key, command in DEFAULT_GATES.items():
            work.append(GATE_BOOK, BOOK, *decide_gate(book, key, command, BEGINNING, new=True))
    return {"id": BOOK}


async def retire_gate(work: Work, key: str, command: RetireGate) -> JsonObject:
    book = (await work.state(GATE_BOOK, BOOK)).state
    events = decide_retire(book, key, command, work.context.now)
    work.append(GATE_BOOK, BOOK, *events, occurred_at=command.occurred_at)
    return {"id": key}


async def define_authority(work: Work, command: DefineAuthority) -> JsonObject:
    book = (await work.state(GATE_BOOK, BOOK)).state
    events = decide_authority(book, command, work.context.now)
    work.append(GATE_BOOK, BOOK, *events, occurred_at=command.occurred_at)
    versions = (await work.state(GATE_BOOK, BOOK)).state.authorities
    return {"id": BOOK, "created": bool(events), "authority_version": len(versions)}


async def request_waiver(
    work: Work, command: RequestWaiver, may: May, waiver_id: str | None = None, person_id: str | None = None
) -> JsonObject:
    """Under a new id, unless one is given. Refuses for an opportunity that the caller, who is this person, may not act on."""
    opportunity = await work.state(OPPORTUNITY, command.opportunity_id, must_exist=True)
    may(opportunity.state)
    book = (await work.state(GATE_BOOK, BOOK)).state
    now, who = work.context.now, Who(work.context.actor, person_id)
    events = decide_request(command, book, opportunity.state, now, who)
    at = said_at(_said(work, command), now, opportunity.state.opened_at, "the opportunity was opened")
    if waiver_id is None:
        waiver_id = str(new_id())
        work.born(WAIVER, waiver_id)
    work.primary = WAIVER.stream_id(waiver_id)
    work.append(WAIVER, waiver_id, *events, occurred_at=at)
    return {"id": waiver_id, "created": True}


async def approve_waiver(
    work: Work,
    waiver_id: str,
    command: ApproveWaiver,
    may: May,
    roles: frozenset[str],
    person_id: str | None = None,
) -> JsonObject:
    """The opportunity is told in the same append: its gates need to ask nobody else."""
    state = await _asked(work, waiver_id, may)
    now, who = work.context.now, Who(work.context.actor, person_id)
    approved, waived = decide_approve(state, command, waiver_id, now, who, roles)
    if state.asked is not None and approved:
        book = (await work.state(GATE_BOOK, BOOK)).state
        check_waivable(book, state.asked.gate, (await work.state(OPPORTUNITY, state.asked.opportunity_id)).state, now)
        at = _answered_at(work, command, state)
        work.append(WAIVER, waiver_id, *approved, occurred_at=at)
        work.append(OPPORTUNITY, state.asked.opportunity_id, *waived, occurred_at=at)
    return {"id": waiver_id}


async def refuse_waiver(
    work: Work, waiver_id: str, command: RefuseWaiver, may: May, roles: frozenset[str], person_id: str | None = None
) -> JsonObject:
    state = await _asked(work, waiver_id, may)
    refused = decide_refuse(state, command, work.context.now, Who(work.context.actor, person_id), roles)
    work.append(WAIVER, waiver_id, *refused, occurred_at=_answered_at(work, command, state))
    return {"id": waiver_id}


async def withdraw_waiver(
    work: Work, waiver_id: str, command: WithdrawWaiver, person_id: str | None = None
) -> JsonObject:
    """Also by somebody whose the opportunity is no longer: what they asked for is theirs."""
    state = await _asked(work, waiver_id, anyone)
    withdrawn = decide_withdraw(state, command, Who(work.context.actor, person_id))
    work.append(WAIVER, waiver_id, *withdrawn, occurred_at=_answered_at(work, command, state))
    return {"id": waiver_id}


async def _asked(work: Work, waiver_id: str, may: May) -> WaiverState:
    """What the work is about. Refuses what there is not, and an opportunity that the caller may not act on."""
    waiver = await work.state(WAIVER, waiver_id, must_exist=True)
    work.primary = WAIVER.stream_id(waiver_id)
    if waiver.state.asked is not None:
        may((await work.state(OPPORTUNITY, waiver.state.asked.opportunity_id)).state)
    return waiver.state


def _said(work: Work, command: Command) -> datetime | None:
    return command.occurred_at or work.context.occurred_at


def _answered_at(work: Work, command: Command, state: WaiverState) -> datetime:
    now = work.context.now
    return said_at(_said(work, command), now, state.asked_at or now, "it was asked for")


Load = Callable[[str], Awaitable[Sequence[Recorded[Any]]]]
"""The events of a stream in order."""


async def record_stop(
    work: Work, opportunity_id: str, refusal: GateRefusedError, load: Load | None = None
) -> JsonObject:
    """That gates refused an act, which left nothing else behind: their effect is to be counted. Not again what the same person
    was told before, while nothing else has happened (`load` None: whatever was told before)."""
    await work.state(OPPORTUNITY, opportunity_id, must_exist=True)
    history = [] if load is None else await load(OPPORTUNITY.stream_id(opportunity_id))
    told = takewhile(lambda one: isinstance(one.event, GateStopped), reversed(history))
    known = [one.event for one in told if one.actor == work.context.actor]
    work.append(OPPORTUNITY, opportunity_id, *(one for one in refusal.stopped if one not in known))
    return {"id": opportunity_id}
