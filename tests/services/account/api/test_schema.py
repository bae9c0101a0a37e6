"""Whatever is sent to the account service, it answers as its OpenAPI document says, and never with a 5xx."""

from fastapi import FastAPI

from services.account.app import SERVICE
from shared.kit.permissions import ROLES
from shared.testing.apps import RunningService, token
from shared.testing.fuzz import assert_no_server_errors, served
from shared.web.app import describe
from tests.services.account.api.conftest import Shop


async def test_no_request_brings_it_down(service: RunningService, shop: Shop) -> None:
    known = {
        f"/{path}/": {"entity_id": (await shop.post(f"/{path}", name="华东"))["id"], "system": "crm"}
        for path in ("accounts", "people", "teams", "products")
    }
    async with served(service.app) as address:
        await assert_no_server_errors(address, token("fuzzer", *ROLES), known=known)


def test_every_route_is_described() -> None:
    app: FastAPI = describe(SERVICE)
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (method, path)
            if path not in ("/healthz", "/readyz", "/metrics"):
                problems = {"400", "401", "403", "404", "409", "412", "413", "422", "503"}
                assert problems <= operation["responses"].keys(), (method, path)
