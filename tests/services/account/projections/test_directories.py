"""Accounts and products as they are, folded from their facts: at once, in batches, shuffled."""

from typing import Any

from services.account.projections.account_directory import account_directory
from services.account.projections.product_catalogue import product_catalogue
from shared.contracts.account import (
    AccountDetailsChanged,
    AccountExternalIdLinked,
    AccountFlagged,
    AccountMoved,
    AccountRegistered,
    AccountRenamed,
    ProductChanged,
    ProductExternalIdLinked,
    ProductListed,
    ProductRelisted,
    ProductRetired,
)
from shared.contracts.event import Recorded
from shared.kit.money import Money
from shared.projections.definition import Projection, Row
from shared.testing.projections import fold_all, shuffled
from tests.services.account.projections.facts import facts, ident, together

CODE = "91330100799655058B"
ACCOUNTS = together(
    facts(
        "account",
        "branch",
        AccountRegistered(name="Branch", industry="power"),
        AccountMoved(parent_id=ident("group")),
        AccountFlagged(flags=("double",)),
        AccountExternalIdLinked(system="crm", external_id="B-1"),
        AccountRenamed(name="华东分公司", names={"en": "East Branch"}),
        AccountDetailsChanged(unified_social_credit_code=CODE, attributes={"employees": "7"}),
    ),
    facts("account", "group", AccountRegistered(name="Group")),
)
PRODUCTS = together(
    facts(
        "product",
        "basic",
        ProductListed(name="GTX Basic", series="GTX", list_price=Money(minor=55_000, currency="USD")),
        ProductExternalIdLinked(system="erp", external_id="G-1"),
        ProductRetired(),
        ProductChanged(name="GTX Start", names={"zh": "入门"}),
    ),
    facts("product", "plus", ProductListed(name="GTX Plus"), ProductRetired(), ProductRelisted()),
)


async def rows(database: str, projection: Projection, records: list[Recorded[Any]]) -> dict[str, Row]:
    """By id; the same however the facts are fed."""
    whole = await fold_all(database, projection, records)
    for seed in range(3):
        assert await fold_all(database, projection, shuffled(records, seed), batch=seed + 1) == whole
    (table,) = whole.values()
    return {row["id"]: row for row in table}


async def test_an_account_is_what_its_facts_made_of_it(database: str) -> None:
    found = await rows(database, account_directory, ACCOUNTS)
    branch = found[ident("branch")]
    assert (branch["name"], branch["names"], branch["version"]) == ("华东分公司", {"en": "East Branch"}, 6)
    assert (branch["industry"], branch["attributes"]) == (None, {"employees": "7"})
    assert (branch["parent_id"], branch["flags"], branch["external_ids"]) == (
        ident("group"),
        ["double"],
        {"crm": "B-1"},
    )
    assert branch["search"].split("\n") == ["华东分公司", "east branch", "b-1", CODE.lower()]
    assert branch["registered_at"] < branch["updated_at"]
    assert found[ident("group")]["parent_id"] is None


async def test_a_product_is_what_its_facts_made_of_it(database: str) -> None:
    found = await rows(database, product_catalogue, PRODUCTS)
    basic = found[ident("basic")]
    assert (basic["name"], basic["series"], basic["list_price_minor"], basic["retired"]) == (
        "GTX Start",
        None,
        None,
        True,
    )
    assert basic["external_ids"] == {"erp": "G-1"}
    assert found[ident("plus")]["retired"] is False
