"""What a row of a CRM export asks of an opportunity, given where it stands. Pure: twice the same row asks for nothing."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from services.imports.mapping import Mapping
from services.imports.reading import OpportunityRow
from services.opportunity.commands import differences
from services.opportunity.domain.opportunity.opening import OpenOpportunity
from services.opportunity.domain.opportunity.outcome import Abandon, Lose, Reopen, Win
from services.opportunity.domain.opportunity.progress import AssertProgress, RegressStage
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.opportunity.terms import AssignAccount, AssignOwner, AssignTeam, Flag
from services.opportunity.domain.process import DefineProcess
from shared.contracts.opportunity import BuyingStage, Evidence, LineItem, Requirement, SellingStage

StartOfDay = Callable[[Any], datetime]
SPOKEN_OF_WHEN_CLOSED = (AssignAccount, AssignOwner, AssignTeam, Flag)


def process_of(mapping: Mapping) -> DefineProcess:
    """The export's stages as a sales process: a stage is over when the CRM has moved the row on."""
    moved_on = Requirement(code="moved_on", names={"en": "Moved on in the CRM", "zh": "已在 CRM 中推进"})
    stages = list(enumerate(mapping.process.stages, 1))
    return DefineProcess(
        names=mapping.process.names,
        selling=tuple(
            SellingStage(
                number=n, code=stage.code, names=stage.names, probability=stage.probability, criteria=(moved_on,)
            )
            for n, stage in stages
        ),
        buying=tuple(
            BuyingStage(number=n, code=stage.buying, names=stage.names, funnel_state=stage.funnel_state)
            for n, stage in stages
        ),
    )


def opening(
    row: OpportunityRow,
    mapping: Mapping,
    start_of_day: StartOfDay,
    *,
    account_id: str | None,
    owner_id: str | None,
    team_id: str | None,
    product_id: str | None,
) -> OpenOpportunity:
    """The row as it would be opened; a row without a date is opened when it is imported, because nothing earlier is known."""
    return OpenOpportunity(
        occurred_at=start_of_day(row.opened_on) if row.opened_on else None,
        name=" · ".join(part for part in (row.product, row.account) if part) or row.id,
        process=mapping.process.key,
        account_id=account_id,
        owner_id=owner_id,
        team_id=team_id,
        amount=None if row.stage.outcome else row.value,
        close_date=row.closed_on,
        line_items=(LineItem(product_id=product_id),) if product_id else (),
        origin=f"import:{mapping.system}",
    )


def steps(
    state: OpportunityState, row: OpportunityRow, wanted: OpenOpportunity, mapping: Mapping, start_of_day: StartOfDay
) -> Sequence[Any]:
    """The commands that bring the opportunity to where the row says it is."""
    opened = wanted.occurred_at
    closed = start_of_day(row.closed_on) if row.closed_on else None
    last = len(mapping.process.stages)
    target = last if row.stage.outcome == "won" else row.stage.stage - 1
    note = f"{mapping.system} export: {row.id}"
    terms: list[Any] = list(differences(state, wanted.model_copy(update={"occurred_at": None})))
    if set(row.doubts) != set(state.flags):
        terms.append(Flag(flags=row.doubts, occurred_at=opened if state.opened_at == opened else None))
    won_amount = row.value if row.stage.outcome == "won" else None
    outcome_differs = (row.stage.outcome or "open") != (state.outcome if state.closed else "open")
    amount_differs = won_amount is not None and state.closed and won_amount != state.amount
    must_open = any(not isinstance(one, SPOKEN_OF_WHEN_CLOSED) for one in terms)
    found: list[Any] = []
    if state.closed and (outcome_differs or amount_differs or must_open):
        found.append(Reopen(reason=f"{note} has changed"))
    found += terms
    found += _progress(state, row, target, last, note, opened, closed)
    if row.stage.outcome and (outcome_differs or amount_differs or must_open or not state.closed):
        found.append(_outcome(row, note, closed))
    return found


def _progress(
    state: OpportunityState,
    row: OpportunityRow,
    target: int,
    last: int,
    note: str,
    opened: datetime | None,
    closed: datetime | None,
) -> list[Any]:
    if state.completed_stage > target:
        return [RegressStage(to_completed=target, reason=f"{note} stands in an earlier stage")]
    found: list[Any] = []
    before = min(target, row.stage.stage - 1)
    if state.completed_stage < before:
        found.append(AssertProgress(completed_stage=before, note=note, occurred_at=opened))
    if state.completed_stage < target and target == last and row.stage.outcome == "won":
        found.append(AssertProgress(completed_stage=target, note=note, occurred_at=closed))
    return found


def _outcome(row: OpportunityRow, note: str, closed: datetime | None) -> Any:
    reason = row.stage.reason or f"{note}: not stated"
    if row.stage.outcome == "won":
        return Win(amount=row.value, evidence=Evidence(kind="asserted_at_migration", note=note), occurred_at=closed)
    if row.stage.outcome == "lost":
        return Lose(reason=reason, occurred_at=closed)
    return Abandon(reason=reason, occurred_at=closed)
