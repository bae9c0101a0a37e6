"""Products, people and teams as this service knows them, to choose from: its own copy of the account service's facts."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select, Table, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.api.cursors import after_of
from services.opportunity.api.names import name_in
from services.opportunity.api.roles import MAY_READ
from services.opportunity.projections.organisation import organisation, person, product, team
from shared.contracts.opportunity import EntityId
from shared.kit.money import Money
from shared.kit.search import terms
from shared.web.commanding import PROBLEMS
from shared.web.language import Language, LanguageNow
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page, page_of
from shared.web.reading import PlainText, reading

router = APIRouter(tags=["lookups"], dependencies=[MAY_READ])
Connection = Annotated[AsyncConnection, Depends(reading(organisation), scope="function")]


class Lookup(BaseModel):
    """In order of name."""

    model_config = ConfigDict(extra="forbid")

    q: PlainText = Field(default="", max_length=200, description="Words that must all occur in the name.")
    cursor: CursorText = None
    limit: Limit = DEFAULT_LIMIT


class ProductLookup(Lookup):
    retired: bool = Field(default=False, description="Also products that are sold no more.")


class PersonLookup(Lookup):
    left: bool = Field(default=False, description="Also people who have left.")


class ProductRow(BaseModel):
    id: str
    name: str
    names: dict[str, str]
    series: str | None
    list_price: Money | None
    retired: bool


class PersonRow(BaseModel):
    id: str
    name: str
    names: dict[str, str]
    active: bool


class TeamRow(BaseModel):
    id: str
    name: str
    names: dict[str, str]
    parent_team_id: str | None


class Counted(BaseModel):
    """`total`: of all pages."""

    total: int


class ProductPage(Page[ProductRow], Counted):
    """Products that can be sold."""


class PersonPage(Page[PersonRow], Counted):
    """Our people."""


class TeamPage(Page[TeamRow], Counted):
    """Our teams."""


@router.get("/products", summary="Products", operation_id="products", responses=PROBLEMS)
async def products(
    ask: Annotated[ProductLookup, Query()], connection: Connection, language: LanguageNow
) -> ProductPage:
    """Found by words of their names in either language."""
    statement = select(product) if ask.retired else select(product).where(product.c.retired.is_(False))
    rows, cursor, total = await _page(connection, product, "product_id", statement, ask)
    return ProductPage(items=[_product(row, language) for row in rows], next_cursor=cursor, total=total)


@router.get("/people", summary="Our people", operation_id="people", responses=PROBLEMS)
async def people(ask: Annotated[PersonLookup, Query()], connection: Connection, language: LanguageNow) -> PersonPage:
    """Found by words of their names."""
    statement = select(person) if ask.left else select(person).where(person.c.active)
    rows, cursor, total = await _page(connection, person, "person_id", statement, ask)
    items = [
        PersonRow(id=row["person_id"], name=name_in(row, language), names=row["names"], active=row["active"])
        for row in rows
    ]
    return PersonPage(items=items, next_cursor=cursor, total=total)


@router.get("/teams", summary="Our teams", operation_id="teams", responses=PROBLEMS)
async def teams(ask: Annotated[Lookup, Query()], connection: Connection, language: LanguageNow) -> TeamPage:
    """Found by words of their names."""
    rows, cursor, total = await _page(connection, team, "team_id", select(team), ask)
    items = [
        TeamRow(
            id=row["team_id"],
            name=name_in(row, language),
            names=row["names"],
            parent_team_id=row["parent_team_id"],
        )
        for row in rows
    ]
    return TeamPage(items=items, next_cursor=cursor, total=total)


async def _page(
    connection: AsyncConnection, table: Table, key: str, statement: Select[Any], ask: Lookup
) -> tuple[Sequence[Any], str | None, int]:
    question = [table.name, ask.model_dump(exclude={"cursor", "limit"})]
    after = after_of(question, ask.cursor, PlainText, EntityId)
    for word in terms(ask.q):
        statement = statement.where(table.c.search.contains(word, autoescape=True))
    total = await connection.scalar(select(func.count()).select_from(statement.subquery()))
    order = tuple_(table.c.name, table.c[key])
    if after is not None:
        statement = statement.where(order > tuple_(*after))
    statement = statement.order_by(table.c.name, table.c[key]).limit(ask.limit + 1)
    rows = (await connection.execute(statement)).mappings().all()
    page, cursor = page_of(rows, ask.limit, question, lambda row: (row["name"], row[key]))
    return page, cursor, total or 0


def _product(row: Any, language: Language) -> ProductRow:
    price = None if row["currency"] is None else Money(minor=row["price_minor"], currency=row["currency"])
    return ProductRow(
        id=row["product_id"],
        name=name_in(row, language),
        names=row["names"],
        series=row["series"],
        list_price=price,
        retired=row["retired"],
    )
