"""Products: lists, pages, and the commands on them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import RowMapping
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
from services.account.api.schemas import Listed, Product, product_of
from services.account.commands import change_product, list_product, relist_product, retire_product, upsert_product
from services.account.domain.product import ProductChange, ProductInput, Retirement
from services.account.domain.values import Command
from services.account.entities import PRODUCT
from services.account.projections.product_catalogue import product, product_catalogue
from services.account.queries.listing import found, one
from shared.web.commanding import BackendNow, Commanding, etag
from shared.web.language import Language, LanguageNow
from shared.web.paging import CursorText, Limit
from shared.web.reading import PlainText, SearchText, moment_of, reading

router = APIRouter(prefix="/products", tags=["products"])
Read = Annotated[AsyncConnection, Depends(reading(product_catalogue), scope="function")]
Sort = Literal["name", "-name", "updated", "-updated", "listed", "-listed"]
SORTS = {"name": product.c.name, "updated": product.c.updated_at, "listed": product.c.listed_at}


@router.get("", summary="Find products", **READS)
async def products(
    read: Read,
    backend: BackendNow,
    language: LanguageNow,
    q: SearchText | None = None,
    series: Annotated[PlainText | None, Query(max_length=300)] = None,
    retired: Annotated[bool | None, Query(description="Those that we sell no more, or those that we sell.")] = None,
    updated_after: UpdatedAfter = None,
    sort: Sort = "name",
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Listed[Product]:
    since = moment_of(updated_after, "updated_after", backend.calendar)
    where = found(product, q)
    if series is not None:
        where.append(product.c.series == series)
    if retired is not None:
        where.append(product.c.retired.is_(retired))
    if since is not None:
        where.append(product.c.updated_at > since)
    question = {"q": q, "series": series, "retired": retired, "since": since, "sort": sort, "of": "products"}
    rows = await listed(read, product, where, order_by(sort, SORTS, product.c.id), limit, cursor, question)
    return Listed(items=[product_of(row, language) for row in rows.rows], **rows.content)


@router.get("/by-external/{system}/{external_id:path}", summary="A product by another system's id", **READS)
async def product_by_external_id(
    system: SystemName, external_id: TheirId, read: Read, language: LanguageNow, response: Response
) -> Product:
    row = await one(read, product, product.c.external_ids.contains({system: external_id}))
    return _page(row, f"{system}:{external_id}", language, response)


@router.get("/{entity_id}", summary="A product", **READS)
async def product_page(entity_id: EntityId, read: Read, language: LanguageNow, response: Response) -> Product:
    return _page(await one(read, product, product.c.id == str(entity_id)), entity_id, language, response)


@router.put(
    "/by-external/{system}/{external_id:path}",
    summary="Make the product that another system knows so, or change what differs",
    **creating(HOUSE_COMMANDS),
)
async def put_product(
    system: SystemName, external_id: TheirId, body: ProductInput, command: Commanding, where: Collection
) -> Response:
    decide = upserted(PRODUCT, system, external_id, lambda work: upsert_product(work, system, external_id, body))
    return await command.run(body, decide, status=201, location=where)


@router.post("", summary="List a product", **creating(HOUSE_COMMANDS))
async def post_product(body: ProductInput, command: Commanding, where: Collection) -> Response:
    decide = created(lambda work: list_product(work, body))
    return await command.run(body, decide, status=201, location=where)


@router.post("/{entity_id}/change", summary="Change a product's name, series or list price", **HOUSE_COMMANDS)
async def change(entity_id: EntityId, body: ProductChange, command: Commanding) -> Response:
    return await command.run(body, changed(lambda work: change_product(work, str(entity_id), body)))


@router.post("/{entity_id}/retire", summary="Sell a product no more", **HOUSE_COMMANDS)
async def retire(entity_id: EntityId, command: Commanding, body: Retirement | None = None) -> Response:
    said = body or Retirement()
    return await command.run(body, changed(lambda work: retire_product(work, str(entity_id), said)))


@router.post("/{entity_id}/relist", summary="Sell a retired product again", **HOUSE_COMMANDS)
async def relist(entity_id: EntityId, command: Commanding, body: Command | None = None) -> Response:
    return await command.run(body, changed(lambda work: relist_product(work, str(entity_id))))


add_external_ids(router, PRODUCT, HOUSE_COMMANDS)
add_history(router, PRODUCT.aggregate)


def _page(row: RowMapping | None, what: object, language: Language, response: Response) -> Product:
    if row is None:
        raise not_found("product", what)
    response.headers.update(etag(row["version"]))
    return product_of(row, language)
