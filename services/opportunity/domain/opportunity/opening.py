"""The birth of an opportunity."""

from collections.abc import Sequence
from datetime import date

from pydantic import Field

from services.opportunity.domain.commands import Command, Title
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.opportunity.terms import checked_amount, checked_date, checked_lines
from services.opportunity.domain.process import DEFAULT_PROCESS_KEY, SalesProcess
from shared.contracts.event import Event
from shared.contracts.opportunity import Code, EntityId, LineItem, OpportunityOpened
from shared.contracts.refusal import refuse
from shared.kit.money import Money


class OpenOpportunity(Command):
    """Only the name is needed. `external_ids`: system → id; each may name one opportunity only."""

    name: Title
    process: Code = DEFAULT_PROCESS_KEY
    account_id: EntityId | None = None
    owner_id: EntityId | None = None
    team_id: EntityId | None = None
    amount: Money | None = None
    close_date: date | None = None
    line_items: tuple[LineItem, ...] = Field(default=(), max_length=200)
    external_ids: dict[str, str] = Field(default_factory=dict, max_length=20, examples=[{"crm": "1C1I7A6R"}])
    origin: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[^\x00]+$")


def decide_open(state: OpportunityState, command: OpenOpportunity, process: SalesProcess) -> Sequence[Event]:
    if state.exists:
        raise refuse("already_open", "an opportunity with this id exists already")
    if command.amount is not None:
        checked_amount(command.amount)
    if command.close_date is not None:
        checked_date(command.close_date)
    checked_lines(command.line_items)
    if command.occurred_at is not None:
        checked_date(command.occurred_at.date(), "occurred_at")
    fields = command.model_dump(exclude={"occurred_at", "external_ids", "process"})
    return [OpportunityOpened(process=process.key, process_version=process.version, **fields)]
