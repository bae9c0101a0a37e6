"""What can be done with gates, the authority matrix and waivers: used alike by the API, the seed and the demonstration.

Each function decides within a `Work`; what it refuses is a RefusedError.
"""

from datetime import UTC, datetime

from services.opportunity.commands import May
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
    check_waivable,
    decide_approve,
    decide_refuse,
    decide_request,
)
from services.opportunity.entities import GATE_BOOK, OPPORTUNITY, WAIVER
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


async def request_waiver(work: Work, command: RequestWaiver, may: May, waiver_id: str | None = None) -> JsonObject:
    """Under a new id, unless one is given. Refuses for an opportunity that the caller may not act on."""
    opportunity = await work.state(OPPORTUNITY, command.opportunity_id, must_exist=True)
    may(opportunity.state)
    book = (await work.state(GATE_BOOK, BOOK)).state
    events = decide_request(command, book, opportunity.state, work.context.now, work.context.actor)
    if waiver_id is None:
        waiver_id = str(new_id())
        work.born(WAIVER, waiver_id)
    work.primary = WAIVER.stream_id(waiver_id)
    work.append(WAIVER, waiver_id, *events, occurred_at=command.occurred_at)
    return {"id": waiver_id, "created": True}


async def approve_waiver(
    work: Work, waiver_id: str, command: ApproveWaiver, may: May, roles: frozenset[str]
) -> JsonObject:
    """The opportunity is told in the same append: its gates need to ask nobody else."""
    waiver = await work.state(WAIVER, waiver_id, must_exist=True)
    work.primary = WAIVER.stream_id(waiver_id)
    now, actor = work.context.now, work.context.actor
    asked = waiver.state.asked
    if asked is not None:
        may((await work.state(OPPORTUNITY, asked.opportunity_id)).state)
    approved, waived = decide_approve(waiver.state, command, waiver_id, now, actor, roles)
    if asked is not None and approved:
        book = (await work.state(GATE_BOOK, BOOK)).state
        check_waivable(book, asked.gate, (await work.state(OPPORTUNITY, asked.opportunity_id)).state, now)
        work.append(WAIVER, waiver_id, *approved, occurred_at=command.occurred_at)
        work.append(OPPORTUNITY, asked.opportunity_id, *waived, occurred_at=command.occurred_at)
    return {"id": waiver_id}


async def refuse_waiver(
    work: Work, waiver_id: str, command: RefuseWaiver, may: May, roles: frozenset[str]
) -> JsonObject:
    waiver = await work.state(WAIVER, waiver_id, must_exist=True)
    work.primary = WAIVER.stream_id(waiver_id)
    if waiver.state.asked is not None:
        may((await work.state(OPPORTUNITY, waiver.state.asked.opportunity_id)).state)
    refused = decide_refuse(waiver.state, command, work.context.now, work.context.actor, roles)
    work.append(WAIVER, waiver_id, *refused, occurred_at=command.occurred_at)
    return {"id": waiver_id}


async def record_stop(work: Work, opportunity_id: str, refusal: GateRefusedError) -> JsonObject:
    """That gates refused an act, which left nothing else behind: their effect is to be counted."""
    await work.state(OPPORTUNITY, opportunity_id, must_exist=True)
    work.append(OPPORTUNITY, opportunity_id, *refusal.stopped)
    return {"id": opportunity_id}
