"""What can be done with teams. Who is to lead or to join one must be with us then; who is to leave need not."""

from services.account.commands.people import present_people, present_person
from services.account.domain import team
from services.account.domain.team import TeamInput, TeamParent
from services.account.domain.tree import DEEPEST
from services.account.domain.values import Reference
from services.account.entities import PERSON, TEAM
from services.account.identities import above, begin, business_time, find, link_new, resolve, take
from shared.eventstore.commands import Work
from shared.kit.ids import new_id


async def form_team(work: Work, command: TeamInput) -> str:
    team_id = str(new_id())
    state = begin(work, TEAM, team_id)
    chain = await _teams_above(work, command.parent)
    work.append(TEAM.aggregate, team_id, *team.decide_form(state, command, chain))
    await _people_of_team(work, team_id, command)
    return team_id


async def upsert_team(work: Work, system: str, external_id: str, command: TeamInput) -> str:
    team_id = await find(work, TEAM, system, external_id)
    if team_id is None:
        team_id = await form_team(work, command)
        await link_new(work, TEAM, team_id, system, external_id)
        return team_id
    await rename_team(work, team_id, command)
    if "parent" in command.model_fields_set:
        await move_team(work, team_id, TeamParent(parent=command.parent))
    await _people_of_team(work, team_id, command)
    return team_id


async def rename_team(work: Work, team_id: str, command: team.TeamName) -> str:
    state = await take(work, TEAM, team_id)
    work.append(TEAM.aggregate, team_id, *team.decide_rename(state, command))
    return team_id


async def move_team(work: Work, team_id: str, command: TeamParent) -> str:
    """Refuses `cycle`, `tree_too_deep`, `unknown_team`."""
    state = await take(work, TEAM, team_id)
    chain = await _teams_above(work, command.parent)
    work.append(TEAM.aggregate, team_id, *team.decide_move(state, team_id, chain))
    return team_id


async def join_team(work: Work, team_id: str, command: team.TeamPerson) -> str:
    """Refuses `unknown_person`, `person_has_left`."""
    state = await take(work, TEAM, team_id)
    person_id = await present_person(work, command.person, "person")
    work.append(TEAM.aggregate, team_id, *team.decide_member_joins(state, person_id, business_time(work)))
    return team_id


async def leave_team(work: Work, team_id: str, command: team.TeamPerson) -> str:
    """Refuses `unknown_person`, `not_a_member`."""
    state = await take(work, TEAM, team_id)
    person_id = await resolve(work, PERSON, command.person, "person")
    work.append(TEAM.aggregate, team_id, *team.decide_member_leaves(state, person_id, business_time(work)))
    return team_id


async def appoint_manager(work: Work, team_id: str, command: team.TeamPerson) -> str:
    """Refuses `unknown_person`, `person_has_left`."""
    state = await take(work, TEAM, team_id)
    person_id = await present_person(work, command.person, "person")
    work.append(TEAM.aggregate, team_id, *team.decide_appoint(state, person_id, business_time(work)))
    return team_id


async def relieve_manager(work: Work, team_id: str) -> str:
    state = await take(work, TEAM, team_id)
    work.append(TEAM.aggregate, team_id, *team.decide_relieve(state, business_time(work)))
    return team_id


async def _people_of_team(work: Work, team_id: str, command: TeamInput) -> None:
    at = business_time(work)
    if "manager" in command.model_fields_set:
        state = (await work.state(TEAM.aggregate, team_id)).state
        if command.manager is None:
            work.append(TEAM.aggregate, team_id, *team.decide_relieve(state, at))
        else:
            manager_id = await present_person(work, command.manager, "manager")
            work.append(TEAM.aggregate, team_id, *team.decide_appoint(state, manager_id, at))
    if "members" in command.model_fields_set:
        people = await present_people(work, command.members)
        state = (await work.state(TEAM.aggregate, team_id)).state
        work.append(TEAM.aggregate, team_id, *team.decide_members(state, people, at))


async def _teams_above(work: Work, parent: Reference | None) -> list[str]:
    if parent is None:
        return []
    parent_id = await resolve(work, TEAM, parent, "parent")
    return await above(work, TEAM, lambda state: state.parent_team_id, parent_id, DEEPEST)
