"""What can be done with our people."""

from collections.abc import Sequence

from services.account.domain import person
from services.account.domain.person import PersonInput
from services.account.domain.values import Reference
from services.account.entities import PERSON
from services.account.identities import begin, business_time, find, link_new, reclaim, resolve, take
from shared.eventstore.commands import Work
from shared.kit.ids import new_id


async def join_person(work: Work, command: PersonInput) -> str:
    person_id = str(new_id())
    state = begin(work, PERSON, person_id)
    work.append(PERSON.aggregate, person_id, *person.decide_join(state, command))
    await _login(work, person_id, None)
    return person_id


async def upsert_person(work: Work, system: str, external_id: str, command: PersonInput) -> str:
    person_id = await find(work, PERSON, system, external_id)
    if person_id is not None:
        return await change_person(work, person_id, command)
    person_id = await join_person(work, command)
    await link_new(work, PERSON, person_id, system, external_id)
    return person_id


async def change_person(work: Work, person_id: str, command: person.PersonChange | PersonInput) -> str:
    state = await take(work, PERSON, person_id)
    work.append(PERSON.aggregate, person_id, *person.decide_change(state, command))
    await _login(work, person_id, state.subject)
    return person_id


async def leave_person(work: Work, person_id: str, command: person.Departure) -> str:
    state = await take(work, PERSON, person_id)
    work.append(PERSON.aggregate, person_id, *person.decide_leave(state, command))
    return person_id


async def return_person(work: Work, person_id: str) -> str:
    state = await take(work, PERSON, person_id)
    work.append(PERSON.aggregate, person_id, *person.decide_return(state))
    return person_id


async def _login(work: Work, person_id: str, former: str | None) -> None:
    """A login is one person's only: two people behind one token would see each other's records."""
    now = (await work.state(PERSON.aggregate, person_id)).state.subject
    await reclaim(work, PERSON, person_id, "login", former, now, "subject")


async def present_person(work: Work, reference: Reference, field: str) -> str:
    """Refuses `unknown_person`, `person_has_left`."""
    person_id = await resolve(work, PERSON, reference, field)
    state = (await work.state(PERSON.aggregate, person_id)).state
    person.check_with_us(state, person_id, business_time(work), field)
    return person_id


async def present_people(work: Work, references: Sequence[Reference]) -> list[str]:
    return [await present_person(work, reference, f"members.{place}") for place, reference in enumerate(references)]
