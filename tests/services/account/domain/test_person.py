"""Our people."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from services.account.domain import person
from services.account.domain.person import Departure, PersonChange, PersonInput
from services.account.domain.values import Reference
from services.account.entities import PERSON
from shared.contracts.account import PersonChanged, PersonJoined, PersonLeft, PersonReturned
from shared.contracts.event import Event
from shared.testing.given import START, given

WANG = PersonJoined(name="王芳", email="wang.fang@example.com")


def test_a_person_joins_once() -> None:
    given(PERSON.aggregate).when(
        lambda s: person.decide_join(s, PersonInput(name="王芳", email="wang.fang@example.com"))
    ).then(WANG)
    given(PERSON.aggregate, [WANG]).when(lambda s: person.decide_join(s, PersonInput(name="x"))).refused(
        "already_joined"
    )


def test_a_change_keeps_what_it_does_not_mention() -> None:
    given(PERSON.aggregate, [WANG]).when(lambda s: person.decide_change(s, PersonChange(subject="wang"))).then(
        PersonChanged(name="王芳", email="wang.fang@example.com", subject="wang")
    )
    given(PERSON.aggregate, [WANG]).when(lambda s: person.decide_change(s, PersonChange(name="王芳"))).nothing()


def test_a_person_leaves_and_returns() -> None:
    left = PersonLeft(reason="retired")
    given(PERSON.aggregate, [WANG]).when(lambda s: person.decide_leave(s, Departure(reason="retired"))).then(left)
    given(PERSON.aggregate, [WANG, left]).when(lambda s: person.decide_leave(s, Departure())).nothing()
    given(PERSON.aggregate, [WANG, left]).when(person.decide_return).then(PersonReturned())
    given(PERSON.aggregate, [WANG]).when(person.decide_return).nothing()


def test_who_has_left_takes_no_new_place_but_keeps_the_old_ones() -> None:
    left_at = START + timedelta(days=10)
    gone = given(PERSON.aggregate, [WANG, (PersonLeft(), left_at)])

    def check(days: int) -> list[Event]:
        person.check_with_us(gone.state, "1", START + timedelta(days=days))
        return []

    gone.when(lambda _: check(10)).refused("person_has_left")
    gone.when(lambda _: check(9)).nothing()


@pytest.mark.parametrize(
    "reference",
    [
        {},
        {"system": "crm"},
        {"external_id": "7"},
        {"id": "0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d", "system": "crm", "external_id": "7"},
        {"id": "7"},
    ],
)
def test_a_reference_names_one_entity_in_one_way(reference: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Reference.model_validate(reference)
