"""Who is logged in."""

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy.ext.asyncio import AsyncConnection

from services.account.api.schemas import Me, Membership, Person, labelled, person_of
from services.account.projections.organisation import organisation
from services.account.queries.belonging import of_login, teams_of
from shared.web.auth import CallerNow
from shared.web.commanding import PROBLEMS, BackendNow
from shared.web.language import LanguageNow
from shared.web.reading import reading

router = APIRouter(tags=["me"])


@router.get("/me", summary="Who am I, and which teams am I in", responses=PROBLEMS)
async def me(
    who: CallerNow,
    read: Annotated[AsyncConnection, Depends(reading(organisation), scope="function")],
    backend: BackendNow,
    language: LanguageNow,
) -> Me:
    """Open to every valid token, one without a role too: that is what it tells."""
    now = backend.clock.now()
    row = await of_login(read, who.subject)
    person = None if row is None else Person.model_validate(person_of(row, language, now))
    teams = [] if row is None else await teams_of(read, row["id"], now)
    found = [Membership.model_validate(labelled(one, language)) for one in teams]
    return Me(subject=who.subject, roles=sorted(who.roles), person=person, teams=found)
