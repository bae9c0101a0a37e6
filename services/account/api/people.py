"""Our people: lists, pages, and the commands on them."""

import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import ColumnElement, RowMapping, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.account.api.asking import (
    HOUSE_COMMANDS,
    READS,
    Collection,
    EntityId,
    SystemName,
    TheirId,
    UpdatedAfter,
    changed,
    created,
    creating,
    listed,
    not_found,
    order_by,
    upserted,
)
from services.account.api.every_kind import add_external_ids, add_history
from services.account.api.schemas import Listed, Membership, Person, PersonPage, labelled, person_of
from services.account.commands import change_person, join_person, leave_person, return_person, upsert_person
from services.account.domain.person import Departure, PersonChange, PersonInput
from services.account.domain.values import Command
from services.account.entities import PERSON
from services.account.projections.organisation import organisation, person, team_period
from services.account.queries.belonging import held, teams_of
from services.account.queries.listing import found, one
from shared.web.commanding import BackendNow, Commanding, etag
from shared.web.language import Language, LanguageNow
from shared.web.paging import CursorText, Limit
from shared.web.reading import SearchText, moment_of, reading

router = APIRouter(prefix="/people", tags=["people"])
Read = Annotated[AsyncConnection, Depends(reading(organisation), scope="function")]
Sort = Literal["name", "-name", "updated", "-updated", "joined", "-joined"]
SORTS = {"name": person.c.name, "updated": person.c.updated_at, "joined": person.c.joined_at}


@router.get("", summary="Find people", **READS)
async def people(
    read: Read,
    backend: BackendNow,
    language: LanguageNow,
    q: SearchText | None = None,
    active: Annotated[bool | None, Query(description="Those with us now, or those who have left.")] = None,
    team: Annotated[uuid.UUID | None, Query(description="Who belongs to this team now, its manager too.")] = None,
    updated_after: UpdatedAfter = None,
    sort: Sort = "name",
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Listed[Person]:
    now = backend.clock.now()
    since = moment_of(updated_after, "updated_after", backend.calendar)
    where = found(person, q)
    if active is not None:
        with_us = or_(person.c.left_at.is_(None), person.c.left_at > now)
        where.append(with_us if active else person.c.left_at <= now)
    if team is not None:
        belongs = select(team_period.c.person_id).where(team_period.c.team_id == str(team), held(now))
        where.append(person.c.id.in_(belongs))
    if since is not None:
        where.append(person.c.updated_at > since)
    question = {"q": q, "active": active, "team": team, "since": since, "sort": sort, "of": "people"}
    rows = await listed(read, person, where, order_by(sort, SORTS, person.c.id), limit, cursor, question)
    items = [Person.model_validate(person_of(row, language, now)) for row in rows.rows]
    return Listed(items=items, **rows.content)


@router.get("/by-external/{system}/{external_id:path}", summary="A person by another system's id", **READS)
async def person_by_external_id(
    system: SystemName, external_id: TheirId, read: Read, backend: BackendNow, language: LanguageNow, response: Response
) -> PersonPage:
    """`login` is built in as a system: the subject of the person's tokens."""
    is_it: ColumnElement[bool] = person.c.external_ids.contains({system: external_id})
    if system == "login":
        is_it = person.c.subject == external_id
    row = await one(read, person, is_it)
    return await _page(read, row, f"{system}:{external_id}", backend, language, response)


@router.get("/{entity_id}", summary="A person and their teams", **READS)
async def person_page(
    entity_id: EntityId, read: Read, backend: BackendNow, language: LanguageNow, response: Response
) -> PersonPage:
    row = await one(read, person, person.c.id == str(entity_id))
    return await _page(read, row, entity_id, backend, language, response)


@router.put(
    "/by-external/{system}/{external_id:path}",
    summary="Make the person that another system knows so, or change what differs",
    **creating(HOUSE_COMMANDS),
)
async def put_person(
    system: SystemName, external_id: TheirId, body: PersonInput, command: Commanding, where: Collection
) -> Response:
    decide = upserted(PERSON, system, external_id, lambda work: upsert_person(work, system, external_id, body))
    return await command.run(body, decide, status=201, location=where)


@router.post("", summary="A person joins us", **creating(HOUSE_COMMANDS))
async def post_person(body: PersonInput, command: Commanding, where: Collection) -> Response:
    decide = created(lambda work: join_person(work, body))
    return await command.run(body, decide, status=201, location=where)


@router.post("/{entity_id}/details", summary="Change a person's name, address or login", **HOUSE_COMMANDS)
async def details(entity_id: EntityId, body: PersonChange, command: Commanding) -> Response:
    return await command.run(body, changed(lambda work: change_person(work, str(entity_id), body)))


@router.post("/{entity_id}/leave", summary="A person leaves us", **HOUSE_COMMANDS)
async def leave(entity_id: EntityId, command: Commanding, body: Departure | None = None) -> Response:
    said = body or Departure()
    return await command.run(body, changed(lambda work: leave_person(work, str(entity_id), said)))


@router.post("/{entity_id}/return", summary="A person who had left is with us again", **HOUSE_COMMANDS)
async def come_back(entity_id: EntityId, command: Commanding, body: Command | None = None) -> Response:
    return await command.run(body, changed(lambda work: return_person(work, str(entity_id))))


add_external_ids(router, PERSON, HOUSE_COMMANDS)
add_history(router, PERSON.aggregate)


async def _page(
    read: AsyncConnection,
    row: RowMapping | None,
    what: object,
    backend: BackendNow,
    language: Language,
    response: Response,
) -> PersonPage:
    if row is None:
        raise not_found("person", what)
    now = backend.clock.now()
    response.headers.update(etag(row["version"]))
    teams = [Membership.model_validate(labelled(one, language)) for one in await teams_of(read, row["id"], now)]
    return PersonPage.model_validate(person_of(row, language, now) | {"teams": teams})
