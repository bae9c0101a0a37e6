"""What can be done with accounts, people, teams and products: used alike by the API, the CSV load and imports.

Each function decides within a `Work` and returns the entity's id; what it refuses is a RefusedError. `upsert_…` addresses an
entity by another system's id: it makes it when nobody has that id, else it changes only what differs.
"""

from collections.abc import Sequence
from datetime import datetime

from services.account.domain import account, person, product, team
from services.account.domain.account import AccountInput, AccountParent
from services.account.domain.person import PersonInput
from services.account.domain.product import ProductInput
from services.account.domain.team import TeamInput, TeamParent
from services.account.domain.tree import DEEPEST
from services.account.domain.values import LinkExternalId, Reference
from services.account.entities import ACCOUNT, PERSON, PRODUCT, TEAM, Entity, S
from services.account.identities import above, find, link_external_id, reclaim, resolve
from shared.eventstore.commands import Work
from shared.kit.ids import new_id


def business_time(work: Work) -> datetime:
    return work.context.occurred_at or work.context.now


def _primary(work: Work, entity: Entity[S], entity_id: str) -> None:
    work.primary = entity.aggregate.stream_id(entity_id)


# accounts ---------------------------------------------------------------------------------------------------------


async def register_account(work: Work, command: AccountInput) -> str:
    account_id = str(new_id())
    _primary(work, ACCOUNT, account_id)
    state = (await work.state(ACCOUNT.aggregate, account_id)).state
    chain = await _accounts_above(work, command.parent)
    work.append(ACCOUNT.aggregate, account_id, *account.decide_register(state, command, chain))
    await _company_code(work, account_id, state.code)
    return account_id


async def upsert_account(work: Work, system: str, external_id: str, command: AccountInput) -> str:
    account_id = await find(work, ACCOUNT, system, external_id)
    if account_id is None:
        account_id = await register_account(work, command)
        await _link(work, ACCOUNT, account_id, system, external_id)
        return account_id
    state = (await work.state(ACCOUNT.aggregate, account_id, must_exist=True)).state
    work.append(ACCOUNT.aggregate, account_id, *account.decide_rename(state, command))
    await change_account_details(work, account_id, command)
    work.append(ACCOUNT.aggregate, account_id, *account.decide_flags(state, command))
    if "parent" in command.model_fields_set:
        await move_account(work, account_id, AccountParent(parent=command.parent))
    return account_id


async def rename_account(work: Work, account_id: str, command: account.AccountName) -> str:
    state = (await work.state(ACCOUNT.aggregate, account_id, must_exist=True)).state
    work.append(ACCOUNT.aggregate, account_id, *account.decide_rename(state, command))
    return account_id


async def change_account_details(work: Work, account_id: str, command: account.AccountDetails) -> str:
    _primary(work, ACCOUNT, account_id)
    state = (await work.state(ACCOUNT.aggregate, account_id, must_exist=True)).state
    work.append(ACCOUNT.aggregate, account_id, *account.decide_details(state, command))
    await _company_code(work, account_id, state.code)
    return account_id


async def flag_account(work: Work, account_id: str, command: account.AccountFlags) -> str:
    state = (await work.state(ACCOUNT.aggregate, account_id, must_exist=True)).state
    work.append(ACCOUNT.aggregate, account_id, *account.decide_flags(state, command))
    return account_id


async def move_account(work: Work, account_id: str, command: AccountParent) -> str:
    """Refuses `cycle`, `tree_too_deep`, `unknown_account`."""
    _primary(work, ACCOUNT, account_id)
    state = (await work.state(ACCOUNT.aggregate, account_id, must_exist=True)).state
    chain = await _accounts_above(work, command.parent)
    work.append(ACCOUNT.aggregate, account_id, *account.decide_move(state, account_id, chain))
    return account_id


async def _accounts_above(work: Work, parent: Reference | None) -> list[str]:
    if parent is None:
        return []
    parent_id = await resolve(work, ACCOUNT, parent, "parent")
    return await above(work, ACCOUNT, lambda state: state.parent_id, parent_id, DEEPEST)


async def _company_code(work: Work, account_id: str, former: str | None) -> None:
    """A company code addresses the account too, so it is claimed like an external id."""
    now = (await work.state(ACCOUNT.aggregate, account_id)).state.code
    await reclaim(work, ACCOUNT, account_id, "uscc", former, now, "unified_social_credit_code")


# people -----------------------------------------------------------------------------------------------------------


async def join_person(work: Work, command: PersonInput) -> str:
    person_id = str(new_id())
    _primary(work, PERSON, person_id)
    state = (await work.state(PERSON.aggregate, person_id)).state
    work.append(PERSON.aggregate, person_id, *person.decide_join(state, command))
    await _login(work, person_id, None)
    return person_id


async def upsert_person(work: Work, system: str, external_id: str, command: PersonInput) -> str:
    person_id = await find(work, PERSON, system, external_id)
    if person_id is not None:
        return await change_person(work, person_id, command)
    person_id = await join_person(work, command)
    await _link(work, PERSON, person_id, system, external_id)
    return person_id


async def change_person(work: Work, person_id: str, command: person.PersonChange | PersonInput) -> str:
    _primary(work, PERSON, person_id)
    state = (await work.state(PERSON.aggregate, person_id, must_exist=True)).state
    work.append(PERSON.aggregate, person_id, *person.decide_change(state, command))
    await _login(work, person_id, state.subject)
    return person_id


async def leave_person(work: Work, person_id: str, command: person.Departure) -> str:
    state = (await work.state(PERSON.aggregate, person_id, must_exist=True)).state
    work.append(PERSON.aggregate, person_id, *person.decide_leave(state, command))
    return person_id


async def return_person(work: Work, person_id: str) -> str:
    state = (await work.state(PERSON.aggregate, person_id, must_exist=True)).state
    work.append(PERSON.aggregate, person_id, *person.decide_return(state))
    return person_id


async def _login(work: Work, person_id: str, former: str | None) -> None:
    """A login is one person's only: two people behind one token would see each other's records."""
    now = (await work.state(PERSON.aggregate, person_id)).state.subject
    await reclaim(work, PERSON, person_id, "login", former, now, "subject")


async def _present_person(work: Work, reference: Reference, field: str) -> str:
    """Refuses `unknown_person`, `person_has_left`."""
    person_id = await resolve(work, PERSON, reference, field)
    state = (await work.state(PERSON.aggregate, person_id)).state
    person.check_with_us(state, person_id, business_time(work), field)
    return person_id


# teams ------------------------------------------------------------------------------------------------------------


async def form_team(work: Work, command: TeamInput) -> str:
    team_id = str(new_id())
    _primary(work, TEAM, team_id)
    state = (await work.state(TEAM.aggregate, team_id)).state
    chain = await _teams_above(work, command.parent)
    work.append(TEAM.aggregate, team_id, *team.decide_form(state, command, chain))
    await _people_of_team(work, team_id, command)
    return team_id


async def upsert_team(work: Work, system: str, external_id: str, command: TeamInput) -> str:
    team_id = await find(work, TEAM, system, external_id)
    if team_id is None:
        team_id = await form_team(work, command)
        await _link(work, TEAM, team_id, system, external_id)
        return team_id
    await rename_team(work, team_id, command)
    if "parent" in command.model_fields_set:
        await move_team(work, team_id, TeamParent(parent=command.parent))
    await _people_of_team(work, team_id, command)
    return team_id


async def rename_team(work: Work, team_id: str, command: team.TeamName) -> str:
    _primary(work, TEAM, team_id)
    state = (await work.state(TEAM.aggregate, team_id, must_exist=True)).state
    work.append(TEAM.aggregate, team_id, *team.decide_rename(state, command))
    return team_id


async def move_team(work: Work, team_id: str, command: TeamParent) -> str:
    """Refuses `cycle`, `tree_too_deep`, `unknown_team`."""
    _primary(work, TEAM, team_id)
    state = (await work.state(TEAM.aggregate, team_id, must_exist=True)).state
    chain = await _teams_above(work, command.parent)
    work.append(TEAM.aggregate, team_id, *team.decide_move(state, team_id, chain))
    return team_id


async def join_team(work: Work, team_id: str, command: team.TeamPerson) -> str:
    """Refuses `unknown_person`, `person_has_left`."""
    _primary(work, TEAM, team_id)
    state = (await work.state(TEAM.aggregate, team_id, must_exist=True)).state
    person_id = await _present_person(work, command.person, "person")
    work.append(TEAM.aggregate, team_id, *team.decide_member_joins(state, person_id, business_time(work)))
    return team_id


async def leave_team(work: Work, team_id: str, command: team.TeamPerson) -> str:
    """Refuses `unknown_person`, `not_a_member`."""
    _primary(work, TEAM, team_id)
    state = (await work.state(TEAM.aggregate, team_id, must_exist=True)).state
    person_id = await resolve(work, PERSON, command.person, "person")
    work.append(TEAM.aggregate, team_id, *team.decide_member_leaves(state, person_id, business_time(work)))
    return team_id


async def appoint_manager(work: Work, team_id: str, command: team.TeamPerson) -> str:
    """Refuses `unknown_person`, `person_has_left`."""
    _primary(work, TEAM, team_id)
    state = (await work.state(TEAM.aggregate, team_id, must_exist=True)).state
    person_id = await _present_person(work, command.person, "person")
    work.append(TEAM.aggregate, team_id, *team.decide_appoint(state, person_id, business_time(work)))
    return team_id


async def relieve_manager(work: Work, team_id: str) -> str:
    state = (await work.state(TEAM.aggregate, team_id, must_exist=True)).state
    work.append(TEAM.aggregate, team_id, *team.decide_relieve(state, business_time(work)))
    return team_id


async def _people_of_team(work: Work, team_id: str, command: TeamInput) -> None:
    at = business_time(work)
    if "manager" in command.model_fields_set:
        state = (await work.state(TEAM.aggregate, team_id)).state
        if command.manager is None:
            work.append(TEAM.aggregate, team_id, *team.decide_relieve(state, at))
        else:
            manager_id = await _present_person(work, command.manager, "manager")
            work.append(TEAM.aggregate, team_id, *team.decide_appoint(state, manager_id, at))
    if "members" in command.model_fields_set:
        people = await _present_people(work, command.members)
        state = (await work.state(TEAM.aggregate, team_id)).state
        work.append(TEAM.aggregate, team_id, *team.decide_members(state, people, at))


async def _present_people(work: Work, references: Sequence[Reference]) -> list[str]:
    return [await _present_person(work, reference, f"members.{place}") for place, reference in enumerate(references)]


async def _teams_above(work: Work, parent: Reference | None) -> list[str]:
    if parent is None:
        return []
    parent_id = await resolve(work, TEAM, parent, "parent")
    return await above(work, TEAM, lambda state: state.parent_team_id, parent_id, DEEPEST)


# products ---------------------------------------------------------------------------------------------------------


async def list_product(work: Work, command: ProductInput) -> str:
    product_id = str(new_id())
    _primary(work, PRODUCT, product_id)
    state = (await work.state(PRODUCT.aggregate, product_id)).state
    work.append(PRODUCT.aggregate, product_id, *product.decide_list(state, command))
    return product_id


async def upsert_product(work: Work, system: str, external_id: str, command: ProductInput) -> str:
    product_id = await find(work, PRODUCT, system, external_id)
    if product_id is not None:
        return await change_product(work, product_id, command)
    product_id = await list_product(work, command)
    await _link(work, PRODUCT, product_id, system, external_id)
    return product_id


async def change_product(work: Work, product_id: str, command: product.ProductChange | ProductInput) -> str:
    _primary(work, PRODUCT, product_id)
    state = (await work.state(PRODUCT.aggregate, product_id, must_exist=True)).state
    work.append(PRODUCT.aggregate, product_id, *product.decide_change(state, command))
    return product_id


async def retire_product(work: Work, product_id: str, command: product.Retirement) -> str:
    state = (await work.state(PRODUCT.aggregate, product_id, must_exist=True)).state
    work.append(PRODUCT.aggregate, product_id, *product.decide_retire(state, command))
    return product_id


async def relist_product(work: Work, product_id: str) -> str:
    state = (await work.state(PRODUCT.aggregate, product_id, must_exist=True)).state
    work.append(PRODUCT.aggregate, product_id, *product.decide_relist(state))
    return product_id


async def _link(work: Work, entity: Entity[S], entity_id: str, system: str, external_id: str) -> None:
    command = LinkExternalId(system=system, external_id=external_id)
    await link_external_id(work, entity, entity_id, command)
