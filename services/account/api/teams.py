"""Teams: lists, pages, trees, who belonged and who led; the commands on them are in `team_commands`."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from services.account.api.asking import READS, EntityId, SystemName, TheirId, UpdatedAfter, listed, not_found, order_by
from services.account.api.every_kind import add_history
from services.account.api.schemas import InRole, Listed, Team, TeamInTree, TeamPage, in_role, labelled, named
from services.account.domain.tree import DEEPEST
from services.account.entities import TEAM
from services.account.projections.organisation import organisation, team
from services.account.queries.belonging import people_of
from services.account.queries.listing import Order, found, one, page, total
from services.account.queries.trees import TEAMS
from shared.service.backend import Backend
from shared.web.commanding import BackendNow, etag
from shared.web.language import Language, LanguageNow
from shared.web.paging import LARGEST_LIMIT, CursorText, Limit
from shared.web.reading import AsOf, KnownAt, SearchText, moment_of, reading

router = APIRouter(prefix="/teams", tags=["teams"])
Read = Annotated[AsyncConnection, Depends(reading(organisation), scope="function")]
Sort = Literal["name", "-name", "updated", "-updated", "formed", "-formed"]
SORTS = {"name": team.c.name, "updated": team.c.updated_at, "formed": team.c.formed_at}


@router.get("", summary="Find teams", **READS)
async def teams(
    read: Read,
    backend: BackendNow,
    language: LanguageNow,
    q: SearchText | None = None,
    parent: Annotated[uuid.UUID | None, Query(description="Those right below this team.")] = None,
    top: Annotated[bool, Query(description="Only those that belong to no other.")] = False,
    updated_after: UpdatedAfter = None,
    sort: Sort = "name",
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Listed[Team]:
    since = moment_of(updated_after, "updated_after", backend.calendar)
    where = found(team, q)
    if parent is not None:
        where.append(team.c.parent_team_id == str(parent))
    if top:
        where.append(team.c.parent_team_id.is_(None))
    if since is not None:
        where.append(team.c.updated_at > since)
    question = {"q": q, "parent": parent, "top": top, "since": since, "sort": sort, "of": "teams"}
    rows = await listed(read, team, where, order_by(sort, SORTS, team.c.id), limit, cursor, question)
    return Listed(items=[Team.model_validate(labelled(row, language)) for row in rows.rows], **rows.content)


@router.get("/by-external/{system}/{external_id:path}", summary="A team by another system's id", **READS)
async def team_by_external_id(
    system: SystemName,
    external_id: TheirId,
    read: Read,
    backend: BackendNow,
    language: LanguageNow,
    response: Response,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> TeamPage:
    row = await one(read, team, team.c.external_ids.contains({system: external_id}))
    times = _times(backend, as_of, known_at)
    return await _page(read, row, f"{system}:{external_id}", times, language, response)


@router.get("/{entity_id}", summary="A team, its people and its manager, at any time", **READS)
async def team_page(
    entity_id: EntityId,
    read: Read,
    backend: BackendNow,
    language: LanguageNow,
    response: Response,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> TeamPage:
    row = await one(read, team, team.c.id == str(entity_id))
    return await _page(read, row, entity_id, _times(backend, as_of, known_at), language, response)


@router.get("/{entity_id}/members", summary="Who belonged to a team, at any time", **READS)
async def members(
    entity_id: EntityId,
    read: Read,
    backend: BackendNow,
    language: LanguageNow,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Listed[InRole]:
    if await one(read, team, team.c.id == str(entity_id)) is None:
        raise not_found("team", entity_id)
    people = people_of(str(entity_id), "member", *_times(backend, as_of, known_at))
    question = {"members": entity_id, "as_of": as_of, "known_at": known_at}
    rows = await listed(read, people, [], Order([people.c.name, people.c.id]), limit, cursor, question)
    return Listed(items=[in_role(row, language) for row in rows.rows], **rows.content)


@router.get("/{entity_id}/tree", summary="A team and what is below it, level by level", **READS)
async def team_tree(
    entity_id: EntityId,
    read: Read,
    language: LanguageNow,
    depth: Annotated[int, Query(ge=0, le=DEEPEST, description="Levels to go down.")] = 10,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Listed[TeamInTree]:
    """In order of depth, then name: every team comes after its parent."""
    if await one(read, team, team.c.id == str(entity_id)) is None:
        raise not_found("team", entity_id)
    tree = TEAMS.with_depth(str(entity_id), depth)
    question = {"tree": entity_id, "depth": depth}
    rows = await listed(read, tree, [], Order([tree.c.depth, tree.c.name, tree.c.id]), limit, cursor, question)
    return Listed(items=[TeamInTree.model_validate(labelled(row, language)) for row in rows.rows], **rows.content)


add_history(router, TEAM.aggregate)


def _times(backend: Backend, as_of: str | None, known_at: str | None) -> tuple[datetime, datetime | None]:
    business = moment_of(as_of, "as_of", backend.calendar) or backend.clock.now()
    return business, moment_of(known_at, "known_at", backend.calendar)


async def _page(
    read: AsyncConnection,
    row: RowMapping | None,
    what: object,
    times: tuple[datetime, datetime | None],
    language: Language,
    response: Response,
) -> TeamPage:
    if row is None:
        raise not_found("team", what)
    response.headers.update(etag(row["version"]))
    leading = people_of(row["id"], "manager", *times)
    belonging = people_of(row["id"], "member", *times)
    leaders = await page(read, leading, [], Order([leading.c.name, leading.c.id]), 1)
    people = await page(read, belonging, [], Order([belonging.c.name, belonging.c.id]), LARGEST_LIMIT)
    content = {
        "above": [named(one, language) for one in await TEAMS.above(read, row["id"])],
        "children": await TEAMS.children(read, row["id"]),
        "manager": in_role(leaders[0], language) if leaders else None,
        "members": [in_role(one, language) for one in people],
        "member_count": await total(read, belonging, []),
    }
    return TeamPage.model_validate(labelled(row, language) | content)
