"""Our products as they are, the retired ones among them."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, String, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from shared.contracts.account import (
    CONTRACT,
    ProductChanged,
    ProductExternalIdLinked,
    ProductListed,
    ProductRelisted,
    ProductRetired,
)
from shared.contracts.event import Recorded
from shared.kit.search import searchable
from shared.projections.definition import Projection, Row, Rows

product_catalogue = Projection("product_catalogue", sources=[CONTRACT])

product = product_catalogue.table(
    "product",
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("names", JSONB, nullable=False),
    Column("series", Text),
    Column("list_price_minor", BigInteger),
    Column("list_price_currency", String(3)),
    Column("retired", Boolean, nullable=False),
    Column("external_ids", JSONB, nullable=False),
    Column("search", Text, nullable=False),
    Column("listed_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("product_external_ids", "external_ids", postgresql_using="gin"),
)


def _put(rows: Rows, e: Recorded[Any], row: Row) -> None:
    texts = [row["name"], *row["names"].values(), *row["external_ids"].values(), row["series"]]
    rows.put(product, row | {"version": e.version, "updated_at": e.recorded_at, "search": searchable(texts)})


def _described(event: ProductListed | ProductChanged) -> Row:
    price = event.list_price
    return {
        "name": event.name,
        "names": event.names,
        "series": event.series,
        "list_price_minor": None if price is None else price.minor,
        "list_price_currency": None if price is None else price.currency,
    }


@product_catalogue.on(ProductListed)
def listed(rows: Rows, e: Recorded[ProductListed]) -> None:
    known = {"id": e.entity_id, "retired": False, "external_ids": {}, "listed_at": e.occurred_at}
    _put(rows, e, _described(e.event) | known)


@product_catalogue.on(ProductChanged)
def changed(rows: Rows, e: Recorded[ProductChanged]) -> None:
    _put(rows, e, rows.of(product, e.entity_id)[0] | _described(e.event))


@product_catalogue.on(ProductRetired, ProductRelisted)
def retired_or_relisted(rows: Rows, e: Recorded[ProductRetired | ProductRelisted]) -> None:
    _put(rows, e, rows.of(product, e.entity_id)[0] | {"retired": isinstance(e.event, ProductRetired)})


@product_catalogue.on(ProductExternalIdLinked)
def linked(rows: Rows, e: Recorded[ProductExternalIdLinked]) -> None:
    row = rows.of(product, e.entity_id)[0]
    _put(rows, e, row | {"external_ids": row["external_ids"] | {e.event.system: e.event.external_id}})
