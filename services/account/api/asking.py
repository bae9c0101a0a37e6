"""What the routes of this service have in common: who may, ids in paths, lists, and how commands are answered."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from sqlalchemy import ColumnElement, FromClause, RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from services.account.api.schemas import ID
from services.account.domain.values import ExternalId, System
from services.account.entities import Entity
from services.account.identities import find
from services.account.queries.listing import Order, page, total
from shared.contracts.refusal import RefusedError, refuse
from shared.eventstore.commands import Decide, Work
from shared.eventstore.types import JsonObject
from shared.kit.permissions import ROLES
from shared.web.auth import needs
from shared.web.commanding import ANSWERS, PROBLEMS
from shared.web.paging import decode_cursor, page_of
from shared.web.problems import bad_request

EVERYBODY = Depends(needs(*ROLES))
ACCOUNT_ROLES = ("seller", "manager", "executive", "operations", "integration")
"""Who registers accounts and says what is known of them: whoever meets the customer."""
HOUSE_ROLES = ("executive", "operations", "integration")
"""Who changes what others' figures rest on: teams decide whose records somebody sees, an account's parent where its money counts,
an external id what an import meets, and a table or a batch changes many at once. Neither sellers nor managers do."""

READS: dict[str, Any] = {"dependencies": [EVERYBODY], "responses": PROBLEMS}
ACCOUNT_COMMANDS: dict[str, Any] = ANSWERS | {"dependencies": [Depends(needs(*ACCOUNT_ROLES))]}
HOUSE_COMMANDS: dict[str, Any] = ANSWERS | {"dependencies": [Depends(needs(*HOUSE_ROLES))]}

EntityId = Annotated[uuid.UUID, Path(examples=[ID])]
SystemName = Annotated[System, Path(description="The other system, such as `crm` or `erp`.", examples=["crm"])]
TheirId = Annotated[
    ExternalId, Path(description="The other system's id, as it writes it.", examples=["Acme Corporation"])
]
UpdatedAfter = Annotated[
    str | None, Query(max_length=40, description="Changed after this day or moment.", examples=["2017-06-30"])
]

Act = Callable[[Work], Awaitable[str]]


def creating(answers: Mapping[str, Any]) -> dict[str, Any]:
    """For routes that make something new: 201 beside 200."""
    made = {201: {"model": ANSWERS["response_model"], "description": "made; `Location` says where it is"}}
    return {**answers, "responses": {**answers["responses"], **made}}


def created(act: Act) -> Decide:
    """`act` makes something new and returns its id."""

    async def decide(work: Work) -> JsonObject:
        return {"id": await act(work), "created": True}

    return decide


def changed(act: Act) -> Decide:
    async def decide(work: Work) -> JsonObject:
        return {"id": await act(work), "created": False}

    return decide


def upserted(entity: Entity[Any], system: str, external_id: str, act: Act) -> Decide:
    async def decide(work: Work) -> JsonObject:
        known = await find(work, entity, system, external_id)
        return {"id": await act(work), "created": known is None}

    return decide


async def collection_of(request: Request) -> str:
    """`/account/accounts/`, what an id is put behind; for `/account/accounts` and `/account/accounts/by-external/crm/Acme`."""
    root, path = request.scope.get("root_path", "").rstrip("/"), request.url.path.partition("/by-external/")[0]
    return f"{path}/" if path.startswith(f"{root}/") else f"{root}{path}/"


Collection = Annotated[str, Depends(collection_of)]


def not_found(kind: str, what: object) -> RefusedError:
    return refuse("not_found", f"there is no {kind} {what}", kind="missing")


@dataclass(frozen=True, slots=True)
class Slice:
    """`content` has what a page needs beside its items."""

    rows: Sequence[RowMapping]
    content: Mapping[str, Any]


async def listed(
    connection: AsyncConnection,
    source: FromClause,
    where: Sequence[ColumnElement[bool]],
    order: Order,
    limit: int,
    cursor: str | None,
    question: JsonObject,
) -> Slice:
    """One page. `question`: every parameter that decides which rows come in which order."""
    after = decode_cursor(question, cursor, len(order.columns))
    if after is not None:
        try:
            after = order.checked(after)
        except ValueError:
            raise bad_request("bad_cursor", "the cursor is none of ours", field="cursor") from None
    found = await page(connection, source, where, order, limit + 1, after)
    rows, following = page_of(found, limit, question, order.values)
    count = await total(connection, source, where)
    return Slice(rows, {"next_cursor": following, "total": count})


def order_by(sort: str, columns: Mapping[str, ColumnElement[Any]], row_id: ColumnElement[Any]) -> Order:
    """`name` or `-name`; the id breaks ties."""
    return Order([columns[sort.removeprefix("-")], row_id], sort.startswith("-"))
