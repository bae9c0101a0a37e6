"""What can be done with products."""

from services.account.domain import product
from services.account.domain.product import ProductInput
from services.account.entities import PRODUCT
from services.account.identities import begin, find, link_new, take
from shared.eventstore.commands import Work
from shared.kit.ids import new_id


async def list_product(work: Work, command: ProductInput) -> str:
    product_id = str(new_id())
    state = begin(work, PRODUCT, product_id)
    work.append(PRODUCT.aggregate, product_id, *product.decide_list(state, command))
    return product_id


async def upsert_product(work: Work, system: str, external_id: str, command: ProductInput) -> str:
    product_id = await find(work, PRODUCT, system, external_id)
    if product_id is not None:
        return await change_product(work, product_id, command)
    product_id = await list_product(work, command)
    await link_new(work, PRODUCT, product_id, system, external_id)
    return product_id


async def change_product(work: Work, product_id: str, command: product.ProductChange | ProductInput) -> str:
    state = await take(work, PRODUCT, product_id)
    work.append(PRODUCT.aggregate, product_id, *product.decide_change(state, command))
    return product_id


async def retire_product(work: Work, product_id: str, command: product.Retirement) -> str:
    state = await take(work, PRODUCT, product_id)
    work.append(PRODUCT.aggregate, product_id, *product.decide_retire(state, command))
    return product_id


async def relist_product(work: Work, product_id: str) -> str:
    state = await take(work, PRODUCT, product_id)
    work.append(PRODUCT.aggregate, product_id, *product.decide_relist(state))
    return product_id
