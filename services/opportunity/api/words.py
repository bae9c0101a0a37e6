"""The words for every code, and who the caller is."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.api.names import Named, name_in
from services.opportunity.labels import LABELS, ROLES, word
from services.opportunity.projections.organisation import organisation, person
from services.opportunity.visibility import find
from shared.web.auth import CallerNow
from shared.web.commanding import PROBLEMS, BackendNow
from shared.web.language import LanguageNow
from shared.web.reading import reading

router = APIRouter(tags=["lookups"])
Connection = Annotated[AsyncConnection, Depends(reading(organisation), scope="function")]


class Label(BaseModel):
    """`label` is in the language of the request."""

    label: str
    en: str
    zh: str


class RoleName(BaseModel):
    role: str
    label: str


class Reach(BaseModel):
    """Whose opportunities the caller sees: everything, or those of so many people (oneself among them) and teams."""

    everything: bool
    people: int
    teams: int


class Me(BaseModel):
    """`person` is null for a login that no person of ours has."""

    subject: str
    roles: list[RoleName]
    person: Named | None
    sees: Reach


@router.get("/labels", summary="Words for every code", operation_id="labels", responses=PROBLEMS)
async def labels(_: CallerNow, language: LanguageNow) -> dict[str, dict[str, Label]]:
    """Group → code → label. Stages, milestones and criteria have their names in `/processes`."""
    return {
        group: {code: Label(label=word(words, code, language), en=en, zh=zh) for code, (en, zh) in words.items()}
        for group, words in LABELS.items()
    }


@router.get("/me", summary="Who is calling", operation_id="me", responses=PROBLEMS)
async def me(caller: CallerNow, backend: BackendNow, connection: Connection, language: LanguageNow) -> Me:
    """The login, its roles, whose records it sees, and the person that it is here."""
    scope = await find(connection, caller.subject, backend.clock.now())
    known = select(person).where(person.c.person_id == scope.person_id)
    row = (await connection.execute(known)).mappings().one_or_none()
    return Me(
        subject=caller.subject,
        roles=[RoleName(role=role, label=word(ROLES, role, language)) for role in sorted(caller.roles)],
        person=None if row is None else Named(id=row["person_id"], name=name_in(row, language)),
        sees=Reach(everything=caller.sees_everything, people=len(scope.people), teams=len(scope.teams)),
    )
