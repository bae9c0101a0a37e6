"""Products over HTTP."""

import httpx

from tests.services.account.api.conftest import Shop, problem

PRICE = {"minor": 105_400, "currency": "USD"}


async def test_a_product_is_listed_changed_retired_and_relisted(shop: Shop) -> None:
    product_id = (await shop.post("/products", name="GTX Basic", series="GTX", list_price=PRICE))["id"]
    path = f"/products/{product_id}"
    await shop.post(f"{path}/change", name="GTX Plus")
    found = await shop.get(path)
    assert (found["name"], found["series"], found["list_price"]) == ("GTX Plus", "GTX", PRICE)
    await shop.post(f"{path}/retire", reason="replaced")
    assert [one["id"] for one in (await shop.get("/products", retired=True))["items"]] == [product_id]
    await shop.post(f"{path}/relist")
    assert (await shop.get("/products", retired=False, series="GTX", q="plus"))["total"] == 1
    assert (await shop.get(f"{path}/history"))["total"] == 4


async def test_a_product_is_upserted_by_another_systems_id(shop: Shop, http: httpx.AsyncClient) -> None:
    path = "/products/by-external/erp/G/1"
    made = await http.put(path, json={"name": "GTX", "list_price": PRICE})
    again = await http.put(path, json={"name": "GTX"})
    assert (made.status_code, again.status_code, again.json()["events"]) == (201, 200, [])
    assert made.headers["Location"] == f"/products/{made.json()['id']}"
    shop.wrote(made.headers["Keyfold-Position"])
    assert (await shop.get(path))["external_ids"] == {"erp": "G/1"}


async def test_impossible_prices_are_refused(http: httpx.AsyncClient) -> None:
    for price in (
        {"minor": -1, "currency": "USD"},
        {"minor": 1, "currency": "XXZ"},
        {"minor": 10**30, "currency": "USD"},
    ):
        answer = await http.post("/products", json={"name": "GTX", "list_price": price})
        problem(answer, 422, "invalid_request")
