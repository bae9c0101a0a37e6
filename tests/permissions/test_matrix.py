"""Roles × routes × records: every route of every service is called by everybody, about what is theirs and what is not."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from services.catalogue import SERVICES
from shared.web.app import describe
from tests.permissions.document import FILE, page
from tests.permissions.scene import PEOPLE, REACH, Scene
from tests.permissions.table import INITIALS, TABLE, Behind, Row

EVERY = [(service, row) for service, rows in TABLE.items() for row in rows]
ROWS = [pytest.param(service, row, id=f"{service} {row.name}") for service, row in EVERY]
ABOUT = [
    pytest.param(service, row, id=f"{service} {row.name}")
    for service, row in EVERY
    if row.behind in (Behind.RECORD, Behind.HOLDER)
]
WORKS = (200, 201, 202, 204, 304, 409)  # 409: the business says no, to somebody who may ask


def test_the_table_has_every_route_and_no_other() -> None:
    there = {
        f"{service} {method} {route.path}"
        for service, definition in SERVICES.items()
        for route in iter_route_contexts(describe(definition).routes)
        for method in sorted(set(route.methods or ()) - {"HEAD"})
    }
    rows = [f"{service} {row.name}" for service, rows in TABLE.items() for row in rows]
    assert not (missing := sorted(there - set(rows))), f"say in tests/permissions/table.py who may: {missing}"
    assert not (gone := sorted(set(rows) - there)), f"there is no such route, take it out of the table: {gone}"
    assert len(rows) == len(set(rows)), "a route stands twice in the table"


def filled(scene: Scene, value: Any, record: str | None) -> Any:
    match value:
        case str() if value.startswith("$"):
            if value != "$record":
                return scene.ids[value[1:]]
            return scene.ids[record] if record is not None and record in PEOPLE else record
        case dict():
            return {name: filled(scene, one, record) for name, one in value.items()}
        case list():
            return [filled(scene, one, record) for one in value]
    return value


async def call(
    scene: Scene, client: httpx.AsyncClient, row: Row, holder: str = "ann", *, dry: bool = False, **query: Any
) -> httpx.Response:
    """The request of a row, about somebody's record."""
    role = client.headers.get("x-role", "operations")
    scene.ids["role"], scene.ids["key"] = role, scene.ids.get(f"key of {role}", scene.ids["key of operations"])
    record = scene.records[holder]
    path = row.path.replace(":path}", "}")
    for name, value in {**record, **row.values}.items():
        path = path.replace(f"{{{name}}}", quote(filled(scene, value, None), safe=""))
    named = record["opportunity_id"] if row.behind is Behind.RECORD else holder
    body = filled(scene, row.body, named)
    trial = {"dry_run": "true"} if dry and row.method != "GET" else {}
    content: dict[str, Any] = {}
    if row.method != "GET":
        content = {"json": body} if not isinstance(body, str) else {"content": body.encode()}
    return await client.request(
        row.method, path, params={**row.query, **trial, **query}, headers={"Content-Type": row.content_type}, **content
    )


def works(answer: httpx.Response) -> bool:
    """Whether who asked may; of a batch, whether the item was."""
    assert answer.status_code in (*WORKS, 403), f"the row's request is wrong: {answer.status_code} {answer.text}"
    items = answer.json().get("items") if answer.status_code == 200 and ":batch" in str(answer.url) else None
    return answer.status_code in WORKS and (items is None or items[0]["status"] in WORKS)


def told(answer: httpx.Response) -> str:
    """The code of the refusal; of a batch, that of the item."""
    content = answer.json()
    return str(content["code"] if "code" in content else content["items"][0]["problem"]["code"])


@pytest.mark.parametrize(("service", "row"), ROWS)
async def test_nothing_without_a_token_nor_without_a_role(scene: Scene, service: str, row: Row) -> None:
    before = await scene.heads()
    async with scene.services[service].stranger() as stranger:
        answer = await call(scene, stranger, row)
    if row.behind is Behind.OPEN:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["code"]) == (401, "no_token")
    async with scene.services[service].roleless("ann") as roleless:
        answer = await call(scene, roleless, row)
    if row.behind in (Behind.OPEN, Behind.TOKEN):
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "role_missing")
    assert await scene.heads() == before


@pytest.mark.parametrize(("service", "row"), ROWS)
async def test_who_has_the_role_may_and_nobody_else(scene: Scene, service: str, row: Row) -> None:
    before = await scene.heads()
    for initial, role in INITIALS.items():
        who = (
            "ann"
            if row.behind is not Behind.HOLDER or role == "seller"
            else next(n for n, r in PEOPLE.items() if r == role)
        )
        may = row.behind in (Behind.OPEN, Behind.TOKEN) or initial in row.roles
        async with scene.client(service, who, role) as client:
            if row.path.endswith(("/approval", "/refusal")) and may:
                continue  # nobody decides on a waiver that they asked for: tried below, by others
            answer = await call(scene, client, row, dry=may)
        assert works(answer) is may, f"{role}: {answer.status_code} {answer.text}"
    assert await scene.heads() == before


def asked() -> Iterator[tuple[str, str]]:
    """Who asks, about whose record."""
    for who in PEOPLE:
        for holder in ("ann", "bob", "team", "olga"):
            yield who, holder


@pytest.mark.parametrize(("service", "row"), ABOUT)
async def test_a_record_is_reached_by_who_sees_it_alone(scene: Scene, service: str, row: Row) -> None:
    before = await scene.heads()
    for who, holder in asked():
        role = PEOPLE[who]
        if not any(INITIALS[initial] == role for initial in row.roles):
            continue
        if holder == "team" and (row.behind is Behind.HOLDER or "submission_id" in row.path):
            continue
        reached = holder in REACH[who]
        may = reached and (row.only != "who asked" or who == ("ann" if holder == "team" else holder))
        if row.behind is Behind.HOLDER and who == holder and row.path == "/targets":
            may = False
        async with scene.client(service, who) as client:
            answer = await call(scene, client, row, holder, dry=may)
        assert works(answer) is may, f"{who} about {holder}: {answer.status_code} {answer.text}"
        if not reached:  # one who asked for a waiver is told so before whose the opportunity is
            assert told(answer) in ("not_yours", "not_led", "not_your_request"), answer.text
    assert await scene.heads() == before


def test_the_document_is_written_from_the_table() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), "run `python -m tests.permissions.document`"
