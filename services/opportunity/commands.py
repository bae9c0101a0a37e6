"""What can be done with opportunities: used alike by the API, imports and the demonstration.

Each function decides within a `Work`; what it refuses is a RefusedError. `upsert` addresses an opportunity by another system's
id: it opens it when nobody has that id, else it changes only what differs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.opportunity.domain.assessment.scoring import Assess
from services.opportunity.domain.gates.book import BOOK
from services.opportunity.domain.gates.evaluate import GateRefusedError, Gates
from services.opportunity.domain.opportunity.decide import Change, Circumstances, TermsCommand, decide, earliest
from services.opportunity.domain.opportunity.files import AttachFile
from services.opportunity.domain.opportunity.opening import OpenOpportunity, decide_open
from services.opportunity.domain.opportunity.state import OpportunityState, late
from services.opportunity.domain.opportunity.terms import (
    AgreeLineItems,
    AssignAccount,
    AssignOwner,
    AssignTeam,
    ChangeAmount,
    ChangeCloseDate,
    Rename,
)
from services.opportunity.domain.process import DefineProcess, SalesProcess, decide_define_process
from services.opportunity.entities import CLAIM, GATE_BOOK, OPPORTUNITY, PROCESS
from services.opportunity.judging import latest_model
from shared.contracts.opportunity import ExternalIdClaimed, ExternalIdLinked
from shared.contracts.refusal import refuse
from shared.eventstore.types import JsonObject
from shared.eventstore.work import Work
from shared.kit.calendar import BusinessCalendar
from shared.kit.ids import new_id

May = Callable[[OpportunityState], None]
"""Raises RefusedError (kind forbidden, or missing where one may not even know) when the caller may not act on it."""


def anyone(state: OpportunityState) -> None:
    """Whoever is trusted with every record: imports and integrations."""


async def process_of(work: Work, key: str, version: int | None = None) -> SalesProcess:
    """A version of a sales process, default the latest. Refuses (kind input) an unknown one."""
    versions = (await work.state(PROCESS, key)).state.versions
    if not versions or (version or 1) > len(versions):
        raise refuse(
            "unknown_process",
            f"there is no sales process {key!r}",
            field="process",
            expected="see /processes",
            kind="input",
        )
    return versions[version - 1 if version else -1]


async def define_process(work: Work, key: str, command: DefineProcess) -> JsonObject:
    loaded = await work.state(PROCESS, key)
    work.append(PROCESS, key, *decide_define_process(loaded.state, command, key), occurred_at=command.occurred_at)
    return {"key": key, "version_number": len((await work.state(PROCESS, key)).state.versions)}


async def open_opportunity(
    work: Work, command: OpenOpportunity, may: May, opportunity_id: str | None = None
) -> JsonObject:
    """Open one under a new id, and claim its external ids. Refuses an id that names another opportunity already."""
    process = await process_of(work, command.process)
    if opportunity_id is None:
        opportunity_id = str(new_id())
        loaded = work.born(OPPORTUNITY, opportunity_id)
    else:
        loaded = await work.state(OPPORTUNITY, opportunity_id)
    work.primary = OPPORTUNITY.stream_id(opportunity_id)
    events = decide_open(loaded.state, command, process)
    work.append(OPPORTUNITY, opportunity_id, *events, occurred_at=command.occurred_at)
    may((await work.state(OPPORTUNITY, opportunity_id)).state)
    for system, external_id in sorted(command.external_ids.items()):
        await _claim(work, opportunity_id, system, external_id, command)
    return {"opportunity_id": opportunity_id, "created": True}


@dataclass(frozen=True, slots=True)
class Acting:
    """In which roles somebody acts, and by whose calendar days are counted: what gates and the authority matrix ask.

    The gates in force are read for every command, for nobody could tell beforehand to what a new kind of command leads."""

    roles: frozenset[str] = frozenset()
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)


async def change(
    work: Work, opportunity_id: str, commands: Sequence[Change | AttachFile], may: May, acting: Acting | None = None
) -> JsonObject:
    """Decide one command after the other, all in one append; the first refusal refuses them all. The gates in force bind."""
    loaded = await work.state(OPPORTUNITY, opportunity_id, must_exist=True)
    work.primary = OPPORTUNITY.stream_id(opportunity_id)
    may(loaded.state)
    process = await process_of(work, loaded.state.process, loaded.state.process_version)
    for command in commands:
        await _apply(work, opportunity_id, command, process, acting or Acting())
    return {"opportunity_id": opportunity_id}


async def upsert(
    work: Work,
    system: str,
    external_id: str,
    command: OpenOpportunity,
    may: May,
    steps: Callable[[OpportunityState], Sequence[Any]] | None = None,
    acting: Acting | None = None,
    calendar: BusinessCalendar | None = None,
) -> JsonObject:
    """Open it when nobody has this external id; else change what differs.

    `steps` derives what is to be done from where the opportunity stands (after it was opened, if it is new), in place of
    `differences`: for callers that also know about progress and outcome. A step that the other system dates before what it
    rests on here counts from then: its history is not ours. `acting`: somebody who is no other system, and is held to the gates
    and to the authority matrix. `calendar`: of the installation, for the decisions of those who are not.
    """
    holder = (await work.state(CLAIM, claim_id(system, external_id))).state.opportunity_id
    if holder is None:
        external = {**command.external_ids, system: external_id}
        answer = await open_opportunity(work, command.model_copy(update={"external_ids": external}), may)
    else:
        answer = {"opportunity_id": holder, "created": False}
        held = (await work.state(OPPORTUNITY, holder)).state
        may(held)
        for other, known_as in sorted(command.external_ids.items()):
            if held.external_ids.get(other) != known_as:
                await _claim(work, holder, other, known_as, command)
    opportunity_id = str(answer["opportunity_id"])
    work.primary = OPPORTUNITY.stream_id(opportunity_id)
    state = (await work.state(OPPORTUNITY, opportunity_id)).state
    process = await process_of(work, state.process, state.process_version)
    due = steps(state) if steps is not None else differences(state, command) if holder is not None else ()
    for one in due:
        state = (await work.state(OPPORTUNITY, opportunity_id)).state
        if one.occurred_at is not None and one.occurred_at < earliest(state, type(one)):
            one = one.model_copy(update={"occurred_at": earliest(state, type(one))})  # noqa: PLW2901
        await _apply(work, opportunity_id, one, process, acting, calendar)
    return answer


def differences(state: OpportunityState, wanted: OpenOpportunity) -> list[TermsCommand]:
    """The commands that turn a state into what an upsert says; fields that the upsert leaves out stay as they are, and so do
    those on which there is a word for a later time."""
    said, at = wanted.model_fields_set, wanted.occurred_at

    def differs(term: str) -> bool:
        if at is not None and late(state, term, at):
            return False
        return bool(getattr(wanted, term) != getattr(state, term))

    found: list[TermsCommand] = []
    if differs("name"):
        found.append(Rename(name=wanted.name, occurred_at=at))
    if "account_id" in said and differs("account_id"):
        found.append(AssignAccount(account_id=wanted.account_id, occurred_at=at))
    if "owner_id" in said and differs("owner_id"):
        found.append(AssignOwner(owner_id=wanted.owner_id, occurred_at=at))
    if "team_id" in said and differs("team_id"):
        found.append(AssignTeam(team_id=wanted.team_id, occurred_at=at))
    if wanted.amount is not None and differs("amount"):
        found.append(ChangeAmount(amount=wanted.amount, occurred_at=at))
    if wanted.close_date is not None and differs("close_date"):
        found.append(ChangeCloseDate(close_date=wanted.close_date, occurred_at=at))
    if "line_items" in said and differs("line_items"):
        found.append(AgreeLineItems(line_items=wanted.line_items, occurred_at=at))
    if "process" in said and wanted.process != state.process:
        raise refuse("process_fixed", f"it runs under the process {state.process!r}, for good", field="process")
    return found


async def _apply(
    work: Work,
    opportunity_id: str,
    command: Any,
    process: SalesProcess,
    acting: Acting | None,
    calendar: BusinessCalendar | None = None,
) -> None:
    """`acting` None: what is said of another system's deals, which no gate here stood before."""
    state = (await work.state(OPPORTUNITY, opportunity_id)).state
    moment = command.occurred_at or work.context.occurred_at or work.context.now
    model = await latest_model(work) if isinstance(command, Assess) else None
    given = Circumstances(process, moment, work.context.actor, work.context.now, model=model)
    if acting is not None:
        gates = Gates((await work.state(GATE_BOOK, BOOK)).state, work.context.now, acting.calendar)
        given = replace(given, roles=acting.roles, calendar=acting.calendar, gates=gates)
    elif calendar is not None:
        given = replace(given, calendar=calendar)
    try:
        events = decide(state, command, given)
    except GateRefusedError as refusal:
        refusal.opportunity_id = opportunity_id
        raise
    work.append(OPPORTUNITY, opportunity_id, *events, occurred_at=command.occurred_at)


async def _claim(work: Work, opportunity_id: str, system: str, external_id: str, command: OpenOpportunity) -> None:
    key = claim_id(system, external_id)
    state = (await work.state(OPPORTUNITY, opportunity_id)).state
    if system in state.external_ids:
        raise refuse(
            "external_id_fixed",
            f"{system} knows this opportunity as {state.external_ids[system]!r} already",
            field=f"external_ids.{system}",
            expected="one id per system",
        )
    if (await work.state(CLAIM, key)).exists:
        raise refuse(
            "external_id_taken",
            f"{system} {external_id!r} names another opportunity",
            field=f"external_ids.{system}",
            expected=f"PUT /opportunities/by-external/{system}/{external_id} changes that one",
        )
    at = max(command.occurred_at, state.opened_at) if command.occurred_at is not None else None
    work.append(CLAIM, key, ExternalIdClaimed(opportunity_id=opportunity_id), occurred_at=at)
    work.append(OPPORTUNITY, opportunity_id, ExternalIdLinked(system=system, external_id=external_id), occurred_at=at)


def claim_id(system: str, external_id: str) -> str:
    """The id of the claim on an external id. Refuses (kind input) what can be none."""
    if not system or len(system) > 40 or not system.replace("_", "").replace("-", "").replace(".", "").isalnum():
        raise refuse(
            "bad_system",
            f"{system[:60]!r} is no name of a system",
            field="system",
            expected="such as crm",
            kind="input",
        )
    if not external_id.strip() or len(external_id) > 200 or "\0" in external_id:
        raise refuse("bad_external_id", "an external id has 1 to 200 characters", field="external_id", kind="input")
    return f"{system}:{external_id}"
