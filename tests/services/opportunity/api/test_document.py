"""Every route of the service, with what its document allows and what it forbids."""

from fastapi import FastAPI

from services.opportunity.app import SERVICE
from shared.kit.permissions import ROLES
from shared.testing.apps import token
from shared.testing.fuzz import assert_no_server_errors, served
from shared.web.app import describe
from shared.web.commanding import POSITION
from tests.services.opportunity.api.house import House


async def test_no_request_makes_the_service_fail(wild_house: House) -> None:
    house = wild_house
    async with house.client() as client:
        opened = await house.opened(client)
    known = {
        "/opportunities/by-external": {"system": "crm", "external_id": "1"},
        "/opportunities/{opportunity_id}/milestones/": {"opportunity_id": opened, "milestone": "priority_set"},
        "/opportunities/{opportunity_id}/commitments/": {"opportunity_id": opened, "criterion": "meeting_agreed"},
        "/opportunities/{opportunity_id}": {"opportunity_id": opened},
    }
    _without_position(house.service.app)
    async with served(house.service.app) as address:
        await assert_no_server_errors(address, token("fuzzer", *ROLES), known=known, examples=8)


def test_every_route_is_described() -> None:
    for path, methods in describe(SERVICE).openapi()["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("description"), (method, path)
            undescribed = [one["name"] for one in operation.get("parameters", ()) if not one.get("description")]
            assert undescribed == [], (method, path)
            if path not in ("/healthz", "/readyz", "/metrics"):
                assert {"401", "403", "422", "503"} <= operation["responses"].keys(), (method, path)
            if method == "post":
                content = operation["requestBody"]["content"]
                if path != "/opportunities/{opportunity_id}/files":  # its body is the file
                    assert content["application/json"].get("examples") or path == "/opportunities:batch", path
                assert "dry_run" in {parameter["name"] for parameter in operation["parameters"]}, path


def test_every_tag_is_described() -> None:
    document = describe(SERVICE).openapi()
    used = {tag for methods in document["paths"].values() for one in methods.values() for tag in one["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}
    assert all(tag["description"] for tag in document["tags"])


def test_every_schema_has_a_name_of_its_own() -> None:
    """Of two models with one name the document would tell in which file of ours they stand."""
    assert [name for name in describe(SERVICE).openapi()["components"]["schemas"] if "__" in name] == []


def _without_position(app: FastAPI) -> None:
    """A position that nobody has reached is waited for, then told by a 503: made up, it says nothing about the service."""
    for methods in app.openapi()["paths"].values():
        for operation in methods.values():
            kept = [one for one in operation.get("parameters", ()) if one["name"].lower() != POSITION.lower()]
            operation["parameters"] = kept
