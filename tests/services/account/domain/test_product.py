"""Our products."""

import pytest
from pydantic import ValidationError

from services.account.domain import product
from services.account.domain.product import ProductChange, ProductInput, Retirement
from services.account.entities import PRODUCT
from shared.contracts.account import ProductChanged, ProductListed, ProductRelisted, ProductRetired
from shared.kit.money import Money
from shared.testing.given import given

PRICE = Money(minor=550_00, currency="USD")
BASIC = ProductListed(name="GTX Basic", series="GTX", list_price=PRICE)


def test_a_product_is_listed_once() -> None:
    command = ProductInput(name="GTX Basic", series="GTX", list_price=PRICE)
    given(PRODUCT.aggregate).when(lambda s: product.decide_list(s, command)).then(BASIC)
    given(PRODUCT.aggregate, [BASIC]).when(lambda s: product.decide_list(s, command)).refused("already_listed")


def test_a_new_price_changes_nothing_else() -> None:
    price = Money(minor=600_00, currency="USD")
    given(PRODUCT.aggregate, [BASIC]).when(lambda s: product.decide_change(s, ProductChange(list_price=price))).then(
        ProductChanged(name="GTX Basic", series="GTX", list_price=price)
    )
    given(PRODUCT.aggregate, [BASIC]).when(
        lambda s: product.decide_change(s, ProductChange(list_price=PRICE))
    ).nothing()


def test_a_product_is_retired_and_listed_again() -> None:
    retired = ProductRetired(reason="replaced")
    given(PRODUCT.aggregate, [BASIC]).when(lambda s: product.decide_retire(s, Retirement(reason="replaced"))).then(
        retired
    )
    given(PRODUCT.aggregate, [BASIC, retired]).when(lambda s: product.decide_retire(s, Retirement())).nothing()
    given(PRODUCT.aggregate, [BASIC, retired]).when(product.decide_relist).then(ProductRelisted())
    given(PRODUCT.aggregate, [BASIC]).when(product.decide_relist).nothing()


def test_a_price_is_not_negative() -> None:
    with pytest.raises(ValidationError, match="negative"):
        ProductInput(name="x", list_price=Money(minor=-1, currency="USD"))
