"""Lists, figures and files say nothing of what others have: whatever happens there, the answer stays the same to the letter."""

import io
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.permissions.conftest import opened_scene
from tests.permissions.scene import REACH, Scene
from tests.permissions.table import TABLE, Behind, Row
from tests.permissions.test_matrix import call

READERS = ("ann", "lin", "eve")  # a seller, a manager; an executive, who sees everything
LISTS = [row for row in TABLE["opportunity"] if row.behind is Behind.LIST]
FORMATS = [(row, form) for row in LISTS for form in (("json", "csv", "xlsx") if row.files else ("json",))]
Told = dict[tuple[str, str, str], str]


async def told(scene: Scene) -> Told:
    """(reader, route, format) → the answer."""
    found: Told = {}
    for reader in READERS:
        async with scene.client("opportunity", reader) as client:
            for row, form in FORMATS:
                asked: dict[str, Any] = {"format": form} if row.files else {}
                answer = await call(scene, client, row, **asked)
                assert answer.status_code == 200, f"{row.name}: {answer.text}"
                found[reader, row.name, form] = _text(answer)
    return found


def _text(answer: httpx.Response) -> str:
    if "spreadsheet" not in answer.headers["content-type"]:
        return answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as book:
        return "".join(book.read(name).decode() for name in book.namelist() if name.startswith("xl/"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def before_and_after(postgres: str) -> AsyncIterator[tuple[Told, Told]]:
    """What is told before and after somebody of another region opened, won, forecast, was given targets and ran into gates."""
    async with AsyncExitStack() as stack:
        scene = await stack.enter_async_context(opened_scene(postgres))
        before = await told(scene)
        await scene.owned("olga", "secret")
        yield before, await told(scene)


@pytest.mark.parametrize(("row", "form"), [pytest.param(row, form, id=f"{row.name} {form}") for row, form in FORMATS])
def test_what_others_have_changes_nothing(before_and_after: tuple[Told, Told], row: Row, form: str) -> None:
    before, after = before_and_after
    for reader in ("ann", "lin"):
        assert "olga" not in REACH[reader]
        assert before[reader, row.name, form] == after[reader, row.name, form]
        assert "secret" not in after[reader, row.name, form]
    if not row.still:
        assert before["eve", row.name, form] != after["eve", row.name, form], "the scene does not move this list"


def test_the_figures_of_who_sees_a_part_are_not_empty(before_and_after: tuple[Told, Told]) -> None:
    shown = json.loads(before_and_after[0]["ann", "GET /opportunities", "json"])
    assert shown["totals"]["count"] == len(shown["items"]) == 5
