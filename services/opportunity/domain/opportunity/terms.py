"""What the opportunity is about and whose it is."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal

from pydantic import Field

from services.opportunity.domain.commands import Command, Title
from services.opportunity.domain.opportunity.state import OpportunityState, late
from shared.contracts.event import Event
from shared.contracts.opportunity import (
    AccountAssigned,
    AmountEstimated,
    AmountRaised,
    AmountReduced,
    CloseDatePulledIn,
    CloseDatePushedOut,
    CloseDateSet,
    Code,
    Commented,
    EntityId,
    LineItem,
    LineItemsAgreed,
    OpportunityFlagged,
    OpportunityRenamed,
    OwnerAssigned,
    TeamAssigned,
    Text,
)
from shared.contracts.refusal import refuse
from shared.kit.money import Money

EARLIEST, LATEST = date(1970, 1, 1), date(2199, 12, 31)


class ChangeAmount(Command):
    """What it is worth now, in the smallest unit of the currency."""

    action: Literal["amount"] = "amount"
    amount: Money


class ChangeCloseDate(Command):
    """When we expect to close: a day of the business calendar."""

    action: Literal["close_date"] = "close_date"
    close_date: date


class AgreeLineItems(Command):
    """All product lines as they are now; those left out are gone."""

    action: Literal["line_items"] = "line_items"
    line_items: tuple[LineItem, ...] = Field(max_length=200)


class AssignOwner(Command):
    """Who answers for it from now on; null: nobody."""

    action: Literal["owner"] = "owner"
    owner_id: EntityId | None


class AssignTeam(Command):
    """Which team works on it from now on; null: none."""

    action: Literal["team"] = "team"
    team_id: EntityId | None


class AssignAccount(Command):
    """Whose need it is; null: not known."""

    action: Literal["account"] = "account"
    account_id: EntityId | None


class Rename(Command):
    """What it is called from now on."""

    action: Literal["name"] = "name"
    name: Title


class Comment(Command):
    """A word for whoever reads its history; it changes nothing else."""

    action: Literal["comment"] = "comment"
    text: Text


class Flag(Command):
    """What is doubtful about it now; none: no doubts left."""

    action: Literal["flags"] = "flags"
    flags: tuple[Code, ...] = Field(max_length=50)


# A word on an earlier time than the latest one is taken as it is: what stood before and after it, only the timeline can say.


def decide_amount(state: OpportunityState, command: ChangeAmount, at: datetime) -> Sequence[Event]:
    """Raised or reduced within a currency; another currency, or a late word on an earlier time, is an estimate of its own."""
    new, old = checked_amount(command.amount), state.amount
    if late(state, "amount", at):
        return [AmountEstimated(amount=new)]
    if new == old:
        return []
    if old is None or old.currency != new.currency:
        return [AmountEstimated(amount=new, former=old)]
    return [AmountRaised(amount=new, former=old) if new.minor > old.minor else AmountReduced(amount=new, former=old)]


def decide_close_date(state: OpportunityState, command: ChangeCloseDate, at: datetime) -> Sequence[Event]:
    new, old = checked_date(command.close_date), state.close_date
    if late(state, "close_date", at):
        return [CloseDateSet(close_date=new)]
    if new == old:
        return []
    if old is None:
        return [CloseDateSet(close_date=new)]
    return [
        CloseDatePushedOut(close_date=new, former=old) if new > old else CloseDatePulledIn(close_date=new, former=old)
    ]


def decide_line_items(state: OpportunityState, command: AgreeLineItems, at: datetime) -> Sequence[Event]:
    checked_lines(command.line_items)
    if command.line_items == state.line_items and not late(state, "line_items", at):
        return []
    return [LineItemsAgreed(line_items=command.line_items)]


def decide_owner(state: OpportunityState, command: AssignOwner, at: datetime) -> Sequence[Event]:
    if late(state, "owner_id", at):
        return [OwnerAssigned(owner_id=command.owner_id)]
    if command.owner_id == state.owner_id:
        return []
    return [OwnerAssigned(owner_id=command.owner_id, former_id=state.owner_id)]


def decide_team(state: OpportunityState, command: AssignTeam, at: datetime) -> Sequence[Event]:
    if late(state, "team_id", at):
        return [TeamAssigned(team_id=command.team_id)]
    if command.team_id == state.team_id:
        return []
    return [TeamAssigned(team_id=command.team_id, former_id=state.team_id)]


def decide_account(state: OpportunityState, command: AssignAccount, at: datetime) -> Sequence[Event]:
    same = command.account_id == state.account_id and not late(state, "account_id", at)
    return [] if same else [AccountAssigned(account_id=command.account_id)]


def decide_rename(state: OpportunityState, command: Rename, at: datetime) -> Sequence[Event]:
    same = command.name == state.name and not late(state, "name", at)
    return [] if same else [OpportunityRenamed(name=command.name)]


def decide_comment(_: OpportunityState, command: Comment, __: datetime) -> Sequence[Event]:
    return [Commented(text=command.text)]


def decide_flags(state: OpportunityState, command: Flag, at: datetime) -> Sequence[Event]:
    same = set(command.flags) == set(state.flags) and not late(state, "flags", at)
    return [] if same else [OpportunityFlagged(flags=command.flags)]


def checked_lines(lines: Sequence[LineItem]) -> None:
    """Refuses (kind input) a negative price, and prices in several currencies."""
    prices = [checked_amount(item.unit_price, "line_items.unit_price") for item in lines if item.unit_price is not None]
    currencies = sorted({price.currency for price in prices})
    if len(currencies) > 1:
        raise refuse(
            "mixed_currencies",
            f"the lines are priced in {', '.join(currencies)}",
            field="line_items",
            expected="one currency",
            kind="input",
        )


def checked_amount(amount: Money, field: str = "amount") -> Money:
    """The amount; refuses (kind input) a negative one."""
    if amount.minor < 0:
        raise refuse("negative_amount", f"{amount} is negative", field=field, expected="0 or more", kind="input")
    return amount


def checked_date(day: date, field: str = "close_date") -> date:
    """The day; refuses (kind input) one outside 1970–2199, which is a slip of the pen."""
    if not EARLIEST <= day <= LATEST:
        raise refuse("impossible_date", f"{day} cannot be meant", field=field, expected="1970 to 2199", kind="input")
    return day
