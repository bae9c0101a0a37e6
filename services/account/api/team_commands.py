"""The commands on teams."""

from fastapi import APIRouter, Response

from services.account.api.asking import (
    HOUSE_COMMANDS,
    Collection,
    EntityId,
    SystemName,
    TheirId,
    changed,
    created,
    creating,
    upserted,
)
from services.account.api.every_kind import add_external_ids
from services.account.commands import (
    appoint_manager,
    form_team,
    join_team,
    leave_team,
    move_team,
    relieve_manager,
    rename_team,
    upsert_team,
)
from services.account.domain.team import TeamInput, TeamName, TeamParent, TeamPerson
from services.account.domain.values import Command
from services.account.entities import TEAM
from shared.web.commanding import Commanding

router = APIRouter(prefix="/teams", tags=["teams"])


@router.put(
    "/by-external/{system}/{external_id:path}",
    summary="Make the team that another system knows so, or change what differs",
    **creating(HOUSE_COMMANDS),
)
async def put_team(
    system: SystemName, external_id: TheirId, body: TeamInput, command: Commanding, where: Collection
) -> Response:
    decide = upserted(TEAM, system, external_id, lambda work: upsert_team(work, system, external_id, body))
    return await command.run(body, decide, status=201, location=where)


@router.post("", summary="Form a team", **creating(HOUSE_COMMANDS))
async def post_team(body: TeamInput, command: Commanding, where: Collection) -> Response:
    decide = created(lambda work: form_team(work, body))
    return await command.run(body, decide, status=201, location=where)


@router.post("/{entity_id}/name", summary="Rename a team", **HOUSE_COMMANDS)
async def name(entity_id: EntityId, body: TeamName, command: Commanding) -> Response:
    return await command.run(body, changed(lambda work: rename_team(work, str(entity_id), body)))


@router.post("/{entity_id}/parent", summary="Put a team under another, or under none", **HOUSE_COMMANDS)
async def parent(entity_id: EntityId, body: TeamParent, command: Commanding) -> Response:
    return await command.run(body, changed(lambda work: move_team(work, str(entity_id), body)))


@router.post("/{entity_id}/members", summary="A person joins a team", **HOUSE_COMMANDS)
async def join(entity_id: EntityId, body: TeamPerson, command: Commanding) -> Response:
    return await command.run(body, changed(lambda work: join_team(work, str(entity_id), body)))


@router.post("/{entity_id}/members/leave", summary="A person leaves a team", **HOUSE_COMMANDS)
async def leave(entity_id: EntityId, body: TeamPerson, command: Commanding) -> Response:
    return await command.run(body, changed(lambda work: leave_team(work, str(entity_id), body)))


@router.post("/{entity_id}/manager", summary="A person leads a team from now on", **HOUSE_COMMANDS)
async def appoint(entity_id: EntityId, body: TeamPerson, command: Commanding) -> Response:
    return await command.run(body, changed(lambda work: appoint_manager(work, str(entity_id), body)))


@router.post("/{entity_id}/manager/relieve", summary="Nobody leads a team from now on", **HOUSE_COMMANDS)
async def relieve(entity_id: EntityId, command: Commanding, body: Command | None = None) -> Response:
    return await command.run(body, changed(lambda work: relieve_manager(work, str(entity_id))))


add_external_ids(router, TEAM, HOUSE_COMMANDS)
