"""An account: a company, or an independent deciding unit of one, that buys or may buy from us (R7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from services.account.domain.tree import check_parent
from services.account.domain.values import Command, CompanyCode, Names, OptionalText, Reference, Text, given
from shared.contracts.account import (
    AccountDetailsChanged,
    AccountExternalIdLinked,
    AccountFlagged,
    AccountMoved,
    AccountRegistered,
    AccountRenamed,
)
from shared.contracts.event import Event, Recorded
from shared.contracts.refusal import refuse

Attributes = Annotated[
    dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,60}$")], Text],
    Field(max_length=60, examples=[{"employees": "4821", "founded": "1996"}]),
]


class AccountDetails(Command):
    """What is left out stays as it is; null takes it away."""

    industry: OptionalText = None
    unified_social_credit_code: CompanyCode | None = None
    attributes: Attributes = Field(default_factory=dict)


class AccountName(Command):
    name: Text
    names: Names = Field(default_factory=dict)


class AccountParent(Command):
    """`parent` null: it becomes the top of a tree of its own."""

    parent: Reference | None


class AccountFlags(Command):
    flags: tuple[Text, ...] = Field(max_length=50)


class AccountInput(AccountDetails):
    """An account as a form or another system knows it. Upserted, what is left out stays as it is."""

    name: Text
    names: Names = Field(default_factory=dict)
    parent: Reference | None = None
    flags: tuple[Text, ...] = Field(default=(), max_length=50)


@dataclass(frozen=True, slots=True)
class AccountState:
    name: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    industry: str | None = None
    code: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    parent_id: str | None = None
    flags: tuple[str, ...] = ()
    external_ids: Mapping[str, str] = field(default_factory=dict)


INITIAL = AccountState()


def evolve(state: AccountState, recorded: Recorded[Any]) -> AccountState:
    match recorded.event:
        case AccountRegistered() as e:
            code = e.unified_social_credit_code
            return AccountState(e.name, e.names, e.industry, code, e.attributes, e.parent_id)
        case AccountRenamed() as e:
            return replace(state, name=e.name, names=e.names)
        case AccountDetailsChanged() as e:
            code = e.unified_social_credit_code
            return replace(state, industry=e.industry, code=code, attributes=e.attributes)
        case AccountMoved(parent_id=parent_id):
            return replace(state, parent_id=parent_id)
        case AccountFlagged(flags=flags):
            return replace(state, flags=flags)
        case AccountExternalIdLinked(system=system, external_id=external_id):
            return replace(state, external_ids={**state.external_ids, system: external_id})
        case _:
            return state


def decide_register(state: AccountState, account: AccountInput, above: Sequence[str] = ()) -> list[Event]:
    """`above`: the parent's id, then those above it. Refuses `already_registered`."""
    if state.name:
        raise refuse("already_registered", "the account is registered already")
    check_parent("", above)
    registered = AccountRegistered(
        name=account.name,
        names=account.names,
        industry=account.industry,
        unified_social_credit_code=account.unified_social_credit_code,
        attributes=account.attributes,
        parent_id=above[0] if above else None,
    )
    return [registered, AccountFlagged(flags=account.flags)] if account.flags else [registered]


def decide_rename(state: AccountState, command: AccountName | AccountInput) -> list[Event]:
    names = given(command, "names", state.names)
    if (command.name, names) == (state.name, state.names):
        return []
    return [AccountRenamed.model_validate({"name": command.name, "names": names})]


def decide_details(state: AccountState, command: AccountDetails) -> list[Event]:
    present = {
        "industry": state.industry,
        "unified_social_credit_code": state.code,
        "attributes": state.attributes,
    }
    wanted = {name: given(command, name, value) for name, value in present.items()}
    return [] if wanted == present else [AccountDetailsChanged.model_validate(wanted)]


def decide_flags(state: AccountState, command: AccountFlags | AccountInput) -> list[Event]:
    flags = command.flags if "flags" in command.model_fields_set else state.flags
    return [] if set(flags) == set(state.flags) else [AccountFlagged(flags=flags)]


def decide_move(state: AccountState, account_id: str, above: Sequence[str]) -> list[Event]:
    """`above`: the new parent's id, then those above it; empty: to the top. Refuses `cycle`, `tree_too_deep`."""
    parent_id = above[0] if above else None
    if parent_id == state.parent_id:
        return []
    check_parent(account_id, above)
    return [AccountMoved(parent_id=parent_id)]
