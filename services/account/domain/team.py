"""A team of our people, with a manager, under another team or none. Members and managers change over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import Field

from services.account.domain.periods import Change, Period, Role, change_of, periods
from services.account.domain.tree import check_parent
from services.account.domain.values import Command, Names, Reference, Text, given
from shared.contracts.account import (
    ManagerAppointed,
    ManagerRelieved,
    TeamExternalIdLinked,
    TeamFormed,
    TeamMemberJoined,
    TeamMemberLeft,
    TeamMoved,
    TeamRenamed,
)
from shared.contracts.event import Event, Recorded
from shared.contracts.refusal import refuse


class TeamName(Command):
    name: Text = Field(examples=["华东区"])
    names: Names = Field(default_factory=dict)


class TeamParent(Command):
    """`parent` null: the team belongs to no other."""

    parent: Reference | None


class TeamPerson(Command):
    person: Reference


class TeamInput(TeamName):
    """A team as a form or another system knows it. Upserted, what is left out stays as it is; `manager` and
    `members`, where given, are who leads and who belongs from `occurred_at` on: whoever is not named leaves."""

    parent: Reference | None = None
    manager: Reference | None = None
    members: tuple[Reference, ...] = Field(default=(), max_length=1000)


@dataclass(frozen=True, slots=True)
class TeamState:
    name: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    parent_team_id: str | None = None
    external_ids: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    def at(self, moment: datetime, role: Role) -> set[str]:
        """The people who had this role in the team at that moment of business time."""
        return {p.person_id for p in self.periods() if p.role == role and p.covers(moment)}

    def periods(self) -> list[Period]:
        return periods(self.changes)


INITIAL = TeamState()


def evolve(state: TeamState, recorded: Recorded[Any]) -> TeamState:
    match recorded.event:
        case TeamFormed() as e:
            return TeamState(e.name, e.names, e.parent_team_id)
        case TeamRenamed() as e:
            return replace(state, name=e.name, names=e.names)
        case TeamMoved(parent_team_id=parent_team_id):
            return replace(state, parent_team_id=parent_team_id)
        case TeamExternalIdLinked(system=system, external_id=external_id):
            return replace(state, external_ids={**state.external_ids, system: external_id})
        case _:
            change = change_of(recorded)
            return state if change is None else replace(state, changes=(*state.changes, change))


def decide_form(state: TeamState, team: TeamName, above: Sequence[str] = ()) -> list[Event]:
    """`above`: the parent's id, then those above it. Refuses `already_formed`."""
    if state.name:
        raise refuse("already_formed", "the team exists already")
    check_parent("", above)
    return [TeamFormed(name=team.name, names=team.names, parent_team_id=above[0] if above else None)]


def decide_rename(state: TeamState, command: TeamName) -> list[Event]:
    names = given(command, "names", state.names)
    if (command.name, names) == (state.name, state.names):
        return []
    return [TeamRenamed.model_validate({"name": command.name, "names": names})]


def decide_move(state: TeamState, team_id: str, above: Sequence[str]) -> list[Event]:
    """`above`: the new parent's id, then those above it; empty: to the top. Refuses `cycle`, `tree_too_deep`."""
    parent_id = above[0] if above else None
    if parent_id == state.parent_team_id:
        return []
    check_parent(team_id, above)
    return [TeamMoved(parent_team_id=parent_id)]


def decide_member_joins(state: TeamState, person_id: str, at: datetime) -> list[Event]:
    return [] if person_id in state.at(at, "member") else [TeamMemberJoined(person_id=person_id)]


def decide_member_leaves(state: TeamState, person_id: str, at: datetime) -> list[Event]:
    """Refuses `not_a_member`."""
    if person_id not in state.at(at, "member"):
        raise refuse("not_a_member", f"{person_id} was no member at {at.isoformat()}", field="person")
    return [TeamMemberLeft(person_id=person_id)]


def decide_members(state: TeamState, people: Sequence[str], at: datetime) -> list[Event]:
    """Those who are to be the members from `at` on: the others leave, the new ones join."""
    present, wanted = state.at(at, "member"), set(people)
    leavers = [TeamMemberLeft(person_id=person_id) for person_id in sorted(present - wanted)]
    joiners = [TeamMemberJoined(person_id=person_id) for person_id in sorted(wanted - present)]
    return [*leavers, *joiners]


def decide_appoint(state: TeamState, person_id: str, at: datetime) -> list[Event]:
    return [] if person_id in state.at(at, "manager") else [ManagerAppointed(person_id=person_id)]


def decide_relieve(state: TeamState, at: datetime) -> list[Event]:
    return [ManagerRelieved(person_id=person_id) for person_id in sorted(state.at(at, "manager"))]
