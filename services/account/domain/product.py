"""A product that we sell, or sold."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import Field, model_validator

from services.account.domain.values import Command, Names, OptionalText, Text, given
from shared.contracts.account import (
    ProductChanged,
    ProductExternalIdLinked,
    ProductListed,
    ProductRelisted,
    ProductRetired,
)
from shared.contracts.event import Event, Recorded
from shared.contracts.refusal import refuse
from shared.kit.money import Money


class ProductDetails(Command):
    """What is left out stays as it is; null takes it away."""

    names: Names = Field(default_factory=dict)
    series: OptionalText = Field(default=None, examples=["GTX"])
    list_price: Money | None = Field(default=None, description="For one of it, before any discount.")

    @model_validator(mode="after")
    def _price_is_not_negative(self) -> "ProductDetails":
        if self.list_price is not None and self.list_price.minor < 0:
            raise ValueError("list_price must not be negative")
        return self


class ProductChange(ProductDetails):
    name: Text | None = None


class ProductInput(ProductDetails):
    """A product as a form or another system knows it. Upserted, what is left out stays as it is."""

    name: Text = Field(examples=["GTX Plus Basic"])


class Retirement(Command):
    reason: OptionalText = None


@dataclass(frozen=True, slots=True)
class ProductState:
    name: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    series: str | None = None
    list_price: Money | None = None
    retired: bool = False
    external_ids: Mapping[str, str] = field(default_factory=dict)


INITIAL = ProductState()


def evolve(state: ProductState, recorded: Recorded[Any]) -> ProductState:
    match recorded.event:
        case ProductListed() as e:
            return ProductState(e.name, e.names, e.series, e.list_price)
        case ProductChanged() as e:
            return replace(state, name=e.name, names=e.names, series=e.series, list_price=e.list_price)
        case ProductRetired():
            return replace(state, retired=True)
        case ProductRelisted():
            return replace(state, retired=False)
        case ProductExternalIdLinked(system=system, external_id=external_id):
            return replace(state, external_ids={**state.external_ids, system: external_id})
        case _:
            return state


def decide_list(state: ProductState, product: ProductInput) -> list[Event]:
    if state.name:
        raise refuse("already_listed", "the product is listed already")
    price = product.list_price
    return [ProductListed(name=product.name, names=product.names, series=product.series, list_price=price)]


def decide_change(state: ProductState, command: ProductChange | ProductInput) -> list[Event]:
    present = {"names": state.names, "series": state.series, "list_price": state.list_price}
    wanted = {name: given(command, name, value) for name, value in present.items()}
    name = command.name or state.name
    if (name, wanted) == (state.name, present):
        return []
    return [ProductChanged.model_validate({"name": name, **wanted})]


def decide_retire(state: ProductState, command: Retirement) -> list[Event]:
    return [] if state.retired else [ProductRetired(reason=command.reason)]


def decide_relist(state: ProductState) -> list[Event]:
    return [] if not state.retired else [ProductRelisted()]
