"""The account service's part of an export: people, their teams, products, accounts, as tasks to be carried out in phases."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from services.account.commands import upsert_account, upsert_person, upsert_product, upsert_team
from services.account.domain.account import AccountInput
from services.account.domain.person import PersonInput
from services.account.domain.product import ProductInput
from services.account.domain.team import TeamInput
from services.account.domain.values import Reference
from services.account.entities import ACCOUNT, PERSON, PRODUCT, TEAM, Entity
from services.account.identities import find
from services.imports.mapping import Mapping
from services.imports.rows import AccountRow, Export, ProductRow, SellerRow
from shared.eventstore.work import Work

Key = tuple[str, str]
"""(kind of entity, its id in the export)."""

ENTITIES: dict[str, Entity[Any]] = {entity.kind: entity for entity in (PERSON, TEAM, PRODUCT, ACCOUNT)}


@dataclass(frozen=True, slots=True)
class Task:
    """An upsert that a line of the export asks for; `act` answers the entity's id.

    `is_row`: the line *is* this entity, so its fate is the row's; a team is only derived from rows.
    `since`: the business time of what is new; None: the import.
    """

    file: str
    line: int
    key: Key
    act: Callable[[Work], Awaitable[str]]
    is_row: bool = True
    since: datetime | None = None


def phases(export: Export, mapping: Mapping, since: datetime | None, known: Collection[Key]) -> Iterator[list[Task]]:
    """Tasks that do not depend on each other, phase after phase.

    `since`: nothing says since when people and teams are there; the first opportunity shows that they were. Only those that are
    not `known` get that date: what is new about the others is new now.
    """
    yield list(_people(export.sellers, mapping, since, known))
    yield list(_regions(export.sellers, mapping, since, known))
    yield list(_teams(export.sellers, mapping, since, known))
    yield [
        Task(mapping.files.products, row.line, ("product", row.id), partial(_product, row=row, system=mapping.system))
        for row in export.products
    ]
    for rows in generations(export.accounts):
        yield [
            Task(mapping.files.accounts, row.line, ("account", row.id), partial(_account, row=row, mapping=mapping))
            for row in rows
        ]


async def ids_of(work: Work, keys: Iterable[Key], system: str) -> dict[Key, str]:
    """The ids of those that are there."""
    found = {key: await find(work, ENTITIES[key[0]], system, key[1]) for key in keys}
    return {key: entity_id for key, entity_id in found.items() if entity_id is not None}


def people_and_teams(sellers: Sequence[SellerRow]) -> set[Key]:
    people = {("person", name) for row in sellers for name in (row.person, row.manager)}
    return people | {("team", name) for row in sellers for name in (_team_id(row.manager), _region_id(row.region))}


def team_key(manager: str) -> Key:
    return "team", _team_id(manager)


def generations(accounts: Sequence[AccountRow]) -> Iterator[list[AccountRow]]:
    """Parents before their children. (Reading has taken rings apart.)"""
    children: dict[str | None, list[AccountRow]] = {}
    for row in accounts:
        children.setdefault(row.parent, []).append(row)
    rows = children.get(None, [])
    while rows:
        yield rows
        rows = [child for row in rows for child in children.get(row.id, [])]


def _people(
    sellers: Sequence[SellerRow], mapping: Mapping, since: datetime | None, known: Collection[Key]
) -> Iterator[Task]:
    listed = {row.person for row in sellers}
    managers = {row.manager: row.line for row in sellers if row.manager not in listed}
    for name, line, is_row in (
        *((name, line, False) for name, line in managers.items()),
        *((row.person, row.line, True) for row in sellers),
    ):
        key, act = ("person", name), partial(_person, name=name, system=mapping.system)
        yield Task(mapping.files.teams, line, key, act, is_row, None if key in known else since)


def _regions(
    sellers: Sequence[SellerRow], mapping: Mapping, since: datetime | None, known: Collection[Key]
) -> Iterator[Task]:
    for region, line in {row.region: row.line for row in reversed(sellers) if row.region}.items():
        key = ("team", _region_id(region))
        act = partial(_team, external_id=key[1], team=TeamInput(name=region), system=mapping.system)
        yield Task(mapping.files.teams, line, key, act, False, None if key in known else since)


def _teams(
    sellers: Sequence[SellerRow], mapping: Mapping, since: datetime | None, known: Collection[Key]
) -> Iterator[Task]:
    """A team is one manager's; the first region that is named for it is the team above."""
    of_manager: dict[str, list[SellerRow]] = {}
    for row in sellers:
        of_manager.setdefault(row.manager, []).append(row)

    def named(external_id: str) -> Reference:
        return Reference(system=mapping.system, external_id=external_id)

    for manager, rows in of_manager.items():
        region, key = rows[0].region, team_key(manager)
        team = TeamInput(
            name=manager,
            parent=named(_region_id(region)) if region else None,
            manager=named(manager),
            members=tuple(named(row.person) for row in rows),
        )
        act = partial(_team, external_id=key[1], team=team, system=mapping.system)
        yield Task(mapping.files.teams, rows[0].line, key, act, False, None if key in known else since)


async def _person(work: Work, *, name: str, system: str) -> str:
    return await upsert_person(work, system, name, PersonInput(name=name))


async def _team(work: Work, *, external_id: str, team: TeamInput, system: str) -> str:
    return await upsert_team(work, system, external_id, team)


async def _product(work: Work, *, row: ProductRow, system: str) -> str:
    product = ProductInput(name=row.name, series=row.series, list_price=row.price)
    return await upsert_product(work, system, row.id, product)


async def _account(work: Work, *, row: AccountRow, mapping: Mapping) -> str:
    system = mapping.system
    account = AccountInput(name=row.name, industry=row.industry, attributes=dict(row.attributes), flags=row.flags)
    if row.parent:
        account = account.model_copy(update={"parent": Reference(system=system, external_id=row.parent)})
    elif not {"unknown_parent", "parent_ring"} & set(row.flags):
        account = account.model_copy(update={"parent": None})
    return await upsert_account(work, system, row.id, account)


def _region_id(region: str) -> str:
    return f"region/{region}"


def _team_id(manager: str) -> str:
    return f"manager/{manager}"
