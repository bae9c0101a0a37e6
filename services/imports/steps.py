"""What a row of a CRM export asks of an opportunity, given where it stands. Pure: twice the same row asks for nothing.

Business time. A row's dates become the `occurred_at` of its facts, at the start of the day in the business calendar: it is opened,
and has the stages before its own behind it, on the day it was opened on; it ends on the day it was closed on. A row without the
first counts from the second, a row without either from the import on: nothing earlier is known, and a guess would be a false fact.
What changed between two imports is dated by the row where the row says more than is on record already, else by its end, else by
the import. An end never comes before what it ends or corrects.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from services.imports.mapping import Mapping
from services.imports.rows import OpportunityRow
from services.opportunity.commands import differences
from services.opportunity.domain.opportunity.opening import OpenOpportunity
from services.opportunity.domain.opportunity.outcome import Abandon, Lose, Reopen, Resume, Win
from services.opportunity.domain.opportunity.progress import AssertProgress, RegressStage
from services.opportunity.domain.opportunity.state import OpportunityState, late
from services.opportunity.domain.opportunity.terms import AssignAccount, AssignOwner, AssignTeam, Flag
from services.opportunity.domain.process import SalesProcess, last_stage
from shared.contracts.opportunity import Evidence, LineItem
from shared.contracts.refusal import refuse

StartOfDay = Callable[[date], datetime]
SPOKEN_OF_WHEN_CLOSED = (AssignAccount, AssignOwner, AssignTeam, Flag)


@dataclass(frozen=True, slots=True)
class Parties:
    """Whose the opportunity is and what it is about: ids of this installation, None where the row says nothing."""

    account_id: str | None
    owner_id: str | None
    team_id: str | None
    product_id: str | None


def opening(row: OpportunityRow, mapping: Mapping, start_of_day: StartOfDay, parties: Parties) -> OpenOpportunity:
    """The row as it would be opened; `occurred_at` None: when it is imported."""
    began = row.opened_on or (row.closed_on if row.stage.outcome else None)
    return OpenOpportunity(
        occurred_at=start_of_day(began) if began else None,
        name=" · ".join(part for part in (row.product, row.account) if part) or row.id,
        process=mapping.process.key,
        account_id=parties.account_id,
        owner_id=parties.owner_id,
        team_id=parties.team_id,
        amount=None if row.stage.outcome == "won" else row.value,
        close_date=row.closed_on,
        line_items=(LineItem(product_id=parties.product_id),) if parties.product_id else (),
        origin=f"import:{mapping.system}",
    )


def steps(
    state: OpportunityState,
    row: OpportunityRow,
    wanted: OpenOpportunity,
    mapping: Mapping,
    process: SalesProcess,
    start_of_day: StartOfDay,
    *,
    new: bool,
) -> Sequence[Any]:
    """The commands that bring the opportunity to where the row says it is. `new`: it was opened by this very row.

    `process`: the version that the opportunity runs under, which the mapping may have outgrown. Refuses `stage_not_in_version`.
    """
    ended = None
    if row.stage.outcome and row.closed_on:
        ended = max(start_of_day(row.closed_on), state.outcome_since)
    terms = _terms(state, row, wanted)
    reopened = state.closed and (_ends_otherwise(state, row) or any(map(_needs_open, terms)))
    since = wanted.occurred_at if new else ended if reopened or not state.closed else None
    if since and any(late(state, term, since) for term in state.since):
        since = None  # an earlier import has spoken for a later time: only a word of today changes what is so now
    note = f"{mapping.system} export: {row.id}"
    found: list[Any] = []
    if reopened:
        found.append(Reopen(reason=f"{note} has changed", occurred_at=ended))
    found += [term.model_copy(update={"occurred_at": since}) for term in terms]
    if state.closed and not reopened:
        return found
    moved = wanted.occurred_at if new else _moved(state, row, start_of_day) or ended
    completed = state.completed_stage
    if reopened and state.outcome == "won":  # it comes back without the signature
        completed = min(completed, last_stage(process) - 1)
    progress = _progress(completed, row, process, _before(row, mapping, process), note, moved, ended)
    if state.outcome == "paused" and (progress or row.stage.outcome == "won"):
        found.append(Resume(occurred_at=ended))
    found += progress
    if row.stage.outcome:
        found.append(_outcome(row, note, ended))
    return found


def _terms(state: OpportunityState, row: OpportunityRow, wanted: OpenOpportunity) -> list[Any]:
    terms: list[Any] = list(differences(state, wanted.model_copy(update={"occurred_at": None})))
    if set(row.doubts) != set(state.flags):
        terms.append(Flag(flags=row.doubts))
    return terms


def _needs_open(command: Any) -> bool:
    return not isinstance(command, SPOKEN_OF_WHEN_CLOSED)


def _ends_otherwise(state: OpportunityState, row: OpportunityRow) -> bool:
    if row.stage.outcome != state.outcome:
        return True
    return row.stage.outcome == "won" and row.value != state.amount


def _before(row: OpportunityRow, mapping: Mapping, process: SalesProcess) -> int:
    code = mapping.process.stages[row.stage.stage - 1].code
    for stage in process.selling:
        if stage.code == code:
            return stage.number - 1
    raise refuse(
        "stage_not_in_version",
        f"it runs under version {process.version} of the process {process.key!r}, which has no stage {code!r}",
        field="process",
        expected=", ".join(stage.code for stage in process.selling),
    )


def _moved(state: OpportunityState, row: OpportunityRow, start_of_day: StartOfDay) -> datetime | None:
    """When the row left the earlier stages, if it says more than is on record."""
    opened = start_of_day(row.opened_on) if row.opened_on else None
    return opened if opened and opened > state.opened_at else None


def _progress(
    completed: int,
    row: OpportunityRow,
    process: SalesProcess,
    before: int,
    note: str,
    moved: datetime | None,
    ended: datetime | None,
) -> list[Any]:
    """`completed`: how many stages are so here; `before`: how many the row has behind it."""
    last = last_stage(process)
    won = row.stage.outcome == "won"
    if completed > before and not won:
        return [RegressStage(to_completed=before, reason=f"{note} stands in an earlier stage", occurred_at=ended)]
    found: list[Any] = []
    if completed < before:
        found.append(AssertProgress(completed_stage=before, note=note, occurred_at=moved))
    if won and completed < last:
        found.append(AssertProgress(completed_stage=last, note=note, occurred_at=ended))
    return found


def _outcome(row: OpportunityRow, note: str, ended: datetime | None) -> Any:
    reason = row.stage.reason or f"{note}: not stated"
    if row.stage.outcome == "won":
        return Win(amount=row.value, evidence=Evidence(kind="asserted_at_migration", note=note), occurred_at=ended)
    if row.stage.outcome == "lost":
        return Lose(reason=reason, occurred_at=ended)
    return Abandon(reason=reason, occurred_at=ended)
