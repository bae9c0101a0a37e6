"""One of our own people: they own, they belong to teams, they log in."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from services.account.domain.values import Command, Email, Names, OptionalText, Text, given
from shared.contracts.account import (
    PersonChanged,
    PersonExternalIdLinked,
    PersonJoined,
    PersonLeft,
    PersonReturned,
)
from shared.contracts.event import Event, Recorded
from shared.contracts.refusal import refuse
from shared.kit.api_key import SUBJECT_PREFIX


def _of_a_person(subject: str | None) -> str | None:
    """A key is nobody: as a person it could approve what the one who issued it has asked for."""
    if subject is not None and subject.startswith(SUBJECT_PREFIX):
        raise ValueError(f"must not begin with {SUBJECT_PREFIX}: an API key is no person")
    return subject


Login = Annotated[OptionalText, AfterValidator(_of_a_person)]


class PersonDetails(Command):
    """What is left out stays as it is; null takes it away."""

    names: Names = Field(default_factory=dict)
    email: Email | None = Field(default=None, examples=["wang.fang@example.com"])
    subject: Login = Field(default=None, description="Of the person's login.", examples=["wang.fang"])


class PersonChange(PersonDetails):
    name: Text | None = None


class PersonInput(PersonDetails):
    """A person as a form or another system knows them. Upserted, what is left out stays as it is."""

    name: Text = Field(examples=["王芳"])


class Departure(Command):
    reason: OptionalText = None


@dataclass(frozen=True, slots=True)
class PersonState:
    """`left_at`: business time from which the person has left; None while they are with us."""

    name: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    email: str | None = None
    subject: str | None = None
    left_at: datetime | None = None
    external_ids: Mapping[str, str] = field(default_factory=dict)


INITIAL = PersonState()


def evolve(state: PersonState, recorded: Recorded[Any]) -> PersonState:
    match recorded.event:
        case PersonJoined() as e:
            return PersonState(e.name, e.names, e.email, e.subject)
        case PersonChanged() as e:
            return replace(state, name=e.name, names=e.names, email=e.email, subject=e.subject)
        case PersonLeft():
            return replace(state, left_at=recorded.occurred_at)
        case PersonReturned():
            return replace(state, left_at=None)
        case PersonExternalIdLinked(system=system, external_id=external_id):
            return replace(state, external_ids={**state.external_ids, system: external_id})
        case _:
            return state


def decide_join(state: PersonState, person: PersonInput) -> list[Event]:
    if state.name:
        raise refuse("already_joined", "the person is with us already")
    joined = PersonJoined(name=person.name, names=person.names, email=person.email, subject=person.subject)
    return [joined]


def decide_change(state: PersonState, command: PersonChange | PersonInput) -> list[Event]:
    present = {"names": state.names, "email": state.email, "subject": state.subject}
    wanted = {name: given(command, name, value) for name, value in present.items()}
    name = command.name or state.name
    if (name, wanted) == (state.name, present):
        return []
    return [PersonChanged.model_validate({"name": name, **wanted})]


def decide_leave(state: PersonState, command: Departure) -> list[Event]:
    return [] if state.left_at is not None else [PersonLeft(reason=command.reason)]


def decide_return(state: PersonState) -> list[Event]:
    return [] if state.left_at is None else [PersonReturned()]


def check_with_us(state: PersonState, person_id: str, at: datetime, field: str = "person") -> None:
    """Refuses `person_has_left` when the person is no longer with us at that moment."""
    if state.left_at is not None and at >= state.left_at:
        left = state.left_at.isoformat()
        raise refuse("person_has_left", f"{state.name} ({person_id}) left on {left}", field=field)
