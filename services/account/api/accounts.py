"""Accounts: lists, pages, trees, and the commands on them."""

import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from services.account.api.asking import (
    ACCOUNT_COMMANDS,
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
from services.account.api.schemas import Account, AccountInTree, AccountPage, Listed, labelled, named
from services.account.commands import (
    change_account_details,
    flag_account,
    move_account,
    register_account,
    rename_account,
    upsert_account,
)
from services.account.domain.account import AccountDetails, AccountFlags, AccountInput, AccountName, AccountParent
from services.account.domain.tree import DEEPEST
from services.account.entities import ACCOUNT
from services.account.projections.account_directory import account, account_directory
from services.account.queries.listing import Order, found, one
from services.account.queries.trees import ACCOUNTS
from shared.web.commanding import BackendNow, Commanding, etag
from shared.web.language import Language, LanguageNow
from shared.web.paging import CursorText, Limit
from shared.web.reading import PlainText, SearchText, moment_of, reading

router = APIRouter(prefix="/accounts", tags=["accounts"])
Read = Annotated[AsyncConnection, Depends(reading(account_directory), scope="function")]
Sort = Literal["name", "-name", "updated", "-updated", "registered", "-registered"]
SORTS = {"name": account.c.name, "updated": account.c.updated_at, "registered": account.c.registered_at}
Word = Annotated[PlainText, Query(max_length=300)]


@router.get("", summary="Find accounts", **READS)
async def accounts(
    read: Read,
    backend: BackendNow,
    language: LanguageNow,
    q: SearchText | None = None,
    parent: Annotated[uuid.UUID | None, Query(description="Those right below this account.")] = None,
    top: Annotated[bool, Query(description="Only those at the top of their trees.")] = False,
    industry: Word | None = None,
    flag: Word | None = None,
    updated_after: UpdatedAfter = None,
    sort: Sort = "name",
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Listed[Account]:
    since = moment_of(updated_after, "updated_after", backend.calendar)
    where = found(account, q)
    if parent is not None:
        where.append(account.c.parent_id == str(parent))
    if top:
        where.append(account.c.parent_id.is_(None))
    if industry is not None:
        where.append(account.c.industry == industry)
    if flag is not None:
        where.append(account.c.flags.any(flag))
    if since is not None:
        where.append(account.c.updated_at > since)
    question = {"q": q, "parent": parent, "top": top, "industry": industry, "flag": flag, "since": since, "sort": sort}
    rows = await listed(read, account, where, order_by(sort, SORTS, account.c.id), limit, cursor, question)
    items = [Account.model_validate(labelled(row, language)) for row in rows.rows]
    return Listed(items=items, **rows.content)


@router.get("/by-external/{system}/{external_id:path}", summary="An account by another system's id", **READS)
async def account_by_external_id(
    system: SystemName, external_id: TheirId, read: Read, language: LanguageNow, response: Response
) -> AccountPage:
    """`uscc` is built in as a system: the unified social credit code."""
    is_it = account.c.external_ids.contains({system: external_id})
    if system == "uscc":
        is_it = account.c.unified_social_credit_code == external_id.upper()
    return await _page(read, await one(read, account, is_it), f"{system}:{external_id}", language, response)


@router.get("/{entity_id}", summary="An account, what is above it, how many are below", **READS)
async def account_page(entity_id: EntityId, read: Read, language: LanguageNow, response: Response) -> AccountPage:
    row = await one(read, account, account.c.id == str(entity_id))
    return await _page(read, row, entity_id, language, response)


@router.get("/{entity_id}/tree", summary="An account and what is below it, level by level", **READS)
async def account_tree(
    entity_id: EntityId,
    read: Read,
    language: LanguageNow,
    depth: Annotated[int, Query(ge=0, le=DEEPEST, description="Levels to go down.")] = 10,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Listed[AccountInTree]:
    """In order of depth, then name: every account comes after its parent."""
    if await one(read, account, account.c.id == str(entity_id)) is None:
        raise not_found("account", entity_id)
    tree = ACCOUNTS.with_depth(str(entity_id), depth)
    question = {"tree": entity_id, "depth": depth}
    rows = await listed(read, tree, [], Order([tree.c.depth, tree.c.name, tree.c.id]), limit, cursor, question)
    items = [AccountInTree.model_validate(labelled(row, language)) for row in rows.rows]
    return Listed(items=items, **rows.content)


@router.put(
    "/by-external/{system}/{external_id:path}",
    summary="Make the account that another system knows so, or change what differs",
    **creating(HOUSE_COMMANDS),
)
async def put_account(
    system: SystemName, external_id: TheirId, body: AccountInput, command: Commanding, where: Collection
) -> Response:
    decide = upserted(ACCOUNT, system, external_id, lambda work: upsert_account(work, system, external_id, body))
    return await command.run(body, decide, status=201, location=where)


@router.post("", summary="Register an account", **creating(ACCOUNT_COMMANDS))
async def post_account(body: AccountInput, command: Commanding, where: Collection) -> Response:
    decide = created(lambda work: register_account(work, body))
    return await command.run(body, decide, status=201, location=where)


@router.post("/{entity_id}/name", summary="Rename an account", **ACCOUNT_COMMANDS)
async def name(entity_id: EntityId, body: AccountName, command: Commanding) -> Response:
    return await command.run(body, changed(lambda work: rename_account(work, str(entity_id), body)))


@router.post("/{entity_id}/details", summary="Change what is known of an account", **ACCOUNT_COMMANDS)
async def details(entity_id: EntityId, body: AccountDetails, command: Commanding) -> Response:
    return await command.run(body, changed(lambda work: change_account_details(work, str(entity_id), body)))


@router.post("/{entity_id}/parent", summary="Hang an account under another, or under none", **HOUSE_COMMANDS)
async def parent(entity_id: EntityId, body: AccountParent, command: Commanding) -> Response:
    return await command.run(body, changed(lambda work: move_account(work, str(entity_id), body)))


@router.post("/{entity_id}/flags", summary="Say what is doubtful about an account", **ACCOUNT_COMMANDS)
async def flags(entity_id: EntityId, body: AccountFlags, command: Commanding) -> Response:
    return await command.run(body, changed(lambda work: flag_account(work, str(entity_id), body)))


add_external_ids(router, ACCOUNT, HOUSE_COMMANDS)
add_history(router, ACCOUNT.aggregate)


async def _page(
    read: AsyncConnection, row: RowMapping | None, what: object, language: Language, response: Response
) -> AccountPage:
    if row is None:
        raise not_found("account", what)
    response.headers.update(etag(row["version"]))
    above = [named(one, language) for one in await ACCOUNTS.above(read, row["id"])]
    children = await ACCOUNTS.children(read, row["id"])
    return AccountPage.model_validate(labelled(row, language) | {"above": above, "children": children})
