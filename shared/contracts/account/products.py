"""What happens to a product: stream `product-<id>`."""

from pydantic import Field

from shared.contracts.account.contract import CONTRACT, Names
from shared.contracts.event import Event
from shared.kit.money import Money


@CONTRACT.event("account.product_listed")
class ProductListed(Event):
    """We sell it. `list_price`: for one of it, before any discount."""

    name: str = Field(examples=["GTX Plus Basic"])
    names: Names = Field(default_factory=dict)
    series: str | None = Field(default=None, examples=["GTX"])
    list_price: Money | None = None


@CONTRACT.event("account.product_changed")
class ProductChanged(Event):
    """The product as it is now, complete: what is left out is no longer so."""

    name: str
    names: Names = Field(default_factory=dict)
    series: str | None = None
    list_price: Money | None = None


@CONTRACT.event("account.product_retired")
class ProductRetired(Event):
    """We sell it no more. Old deals keep it."""

    reason: str | None = None


@CONTRACT.event("account.product_relisted")
class ProductRelisted(Event):
    """We sell a retired product again."""


@CONTRACT.event("account.product_external_id_linked")
class ProductExternalIdLinked(Event):
    system: str = Field(examples=["crm"])
    external_id: str = Field(examples=["GTX Plus Basic"])
