"""Everything by `docker compose`, as an operator does it: what it shows is what the embedded form shows.

Needs an engine with the images (deploy/images.py builds them where they cannot be pulled): `make test-compose`. KEYFOLD_EXPORT
names a folder with a CRM's export to take instead of a small invented one.
"""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.kit.permissions import ROLES
from shared.web.own_issuer import ISSUER, OwnIssuer
from tests.e2e.conftest import Start, free_port
from tests.e2e.test_distributed import EXPORT

pytestmark = pytest.mark.skipif(
    os.environ.get("KEYFOLD_COMPOSE") != "1", reason="NOT RUN: compose needs an engine; `make test-compose` runs it"
)

ROOT = Path(__file__).parents[2]
FILES = ("docker-compose.yml", "tests/e2e/compose.issuer.yaml")
UP_SECONDS, COMMAND_SECONDS, READ_SECONDS = 600, 900, 120
SECRETS = (
    "POSTGRES_PASSWORD",
    "DATABASE_PASSWORD_OPERATOR",
    "DATABASE_PASSWORD_ACCOUNT",
    "DATABASE_PASSWORD_OPPORTUNITY",
)
PROCESS = "process=crm-export"
LISTS = {  # each with what it is sorted by
    f"/opportunity/opportunities?{PROCESS}&sort=close_date&limit=200": "close_date",
    f"/opportunity/opportunities?{PROCESS}&outcome=won&sort=amount&limit=200": "amount",
    "/account/accounts?limit=20": "name",
    "/account/people?limit=10": "name",
    "/account/products?limit=5": "name",
}
FIGURES = (
    f"/opportunity/funnel?{PROCESS}&group_by=state",
    f"/opportunity/board?{PROCESS}&group_by=stage&cards=0",
    f"/opportunity/pipeline?{PROCESS}&group_by=stage&as_of=2017-06-30",
    f"/opportunity/pipeline/waterfall?{PROCESS}&from=2017-03-31&to=2017-06-30",
)
ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Compose:
    """A project of its own on the engine."""

    name: str
    port: int
    environment: Mapping[str, str]

    def run(self, *arguments: str, seconds: float = COMMAND_SECONDS, fails: bool = False) -> str:
        """What it printed; with `fails`, what it complained of."""
        command = ["docker", "compose", "--project-name", self.name, "--env-file", "/dev/null"]
        command += [part for file in FILES for part in ("--file", str(ROOT / file))]
        done = subprocess.run(
            [*command, *arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert (done.returncode != 0) is fails, f"{arguments}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stderr if fails else done.stdout

    def inside(self, service: str, *command: str) -> str:
        return self.run("exec", "-T", service, *command)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> OwnIssuer:
    return OwnIssuer.open(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def compose(issuer: OwnIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    keys = tmp_path_factory.mktemp("keys")
    (keys / "jwks.json").write_text(json.dumps(issuer.jwks()))
    for folder in (keys, keys.parent, keys.parent.parent):
        folder.chmod(0o755)  # whoever serves them there is another user
    port = free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KEYFOLD_", "COMPOSE_"))}
    settings = {
        **{name: uuid4().hex for name in SECRETS},
        "KEYFOLD_SECRET": uuid4().hex,
        "KEYFOLD_ISSUER": ISSUER,
        "KEYFOLD_RATE": "0",
        "KEYFOLD_JWKS_URL": "http://issuer-keys:8000/jwks.json",
        "ISSUER_KEYS": str(keys),
        "KEYFOLD_PORT": str(port),
        "KEYFOLD_IMAGE": os.environ.get("KEYFOLD_IMAGE", "keyfold:local"),
    }
    project = Compose(f"keyfoldtest{uuid4().hex[:8]}", port, clean | settings)
    try:
        project.run("up", "--detach", "--wait", seconds=UP_SECONDS)
        yield project
    finally:
        project.run("down", "--volumes", "--timeout", "20")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("KEYFOLD_EXPORT")
    if given:
        return Path(given).absolute()
    folder = tmp_path_factory.mktemp("export")
    for name, content in EXPORT.items():
        (folder / name).write_text(content)
    for one in (folder, folder.parent, folder.parent.parent):
        one.chmod(0o755)
    return folder


@asynccontextmanager
async def client(port: int, token: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=READ_SECONDS) as opened:
        yield opened


async def answer(http: httpx.AsyncClient, path: str) -> Any:
    got = await http.get(path)
    assert got.status_code == 200, f"{path}: {got.status_code} {got.text[:500]}"
    return got.json()


async def pages(http: httpx.AsyncClient, path: str) -> list[Any]:
    """A list to its last page, by the cursors that it gives."""
    found: list[Any] = []
    cursor: str | None = None
    while True:
        page = await answer(http, path if cursor is None else f"{path}&cursor={cursor}")
        found.append(page)
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def everything(port: int, token: str) -> dict[str, Any]:
    async with client(port, token) as http:
        lists = {path: listed(await pages(http, path), by) for path, by in LISTS.items()}
        figures = {path: await answer(http, path) for path in FIGURES}
        documents = {path: await answer(http, path) for path in ("/opportunity/openapi.json", "/account/openapi.json")}
        return lists | figures | documents


async def test_it_shows_what_the_embedded_form_shows_and_keeps_it(
    compose: Compose, issuer: OwnIssuer, export: Path, start: Start, tmp_path: Path
) -> None:
    token, began = issuer.mint("erp", ROLES, "keyfold"), datetime.now(UTC)
    brought = ["run", "--rm", "-T", "--volume", f"{export}:/export:ro", "tools"]
    brought += ["import", "crm-csv", "/export", "--json"]
    report = json.loads(await asyncio.to_thread(compose.run, *brought))
    there = await everything(compose.port, token)

    settings = {"KEYFOLD_DATA": str(tmp_path / "embedded"), "KEYFOLD_PORT": str(port := free_port())}
    up = await start("up", "--no-demo", **settings)
    await up.says("Ctrl-C")
    done = await start("import", "crm-csv", str(export), "--json", **settings)
    async with asyncio.timeout(COMMAND_SECONDS):
        said = (await done.process.communicate())[0].decode()
    assert json.loads(said[said.index("{") :])["summary"] == report["summary"]
    minted = await start("token", "erp", **settings)
    assert await minted.ends() == 0, minted.output
    here = await everything(port, minted.output.strip().splitlines()[-1])
    assert await up.stop() == 0
    for path, shown in here.items():
        assert comparable(there[path], began) == comparable(shown, began), path

    await asyncio.to_thread(compose.run, "down", "--timeout", "20")
    await asyncio.to_thread(compose.run, "up", "--detach", "--wait")
    assert await everything(compose.port, token) == there


def listed(shown: list[Any], by: str) -> dict[str, Any]:
    """A list page by page: what each page says, the order in which its rows stand, and the rows. Rows that are equal in what the
    list is sorted by stand in the order of their ids, which no two imports have in common: so the rows themselves are compared
    as a set."""
    rows = [row for page in shown for row in page["items"]]
    told = [page | {"items": len(page["items"]), "next_cursor": page["next_cursor"] is not None} for page in shown]
    return {"pages": told, "order": [row[by] for row in rows], "rows": rows}


def comparable(shown: Any, began: datetime) -> list[str]:
    """In lines, without what no two imports of the same rows have in common: ids (each is numbered where it is first met, also in
    links), and the moment of the import, from which on a row without a date counts."""
    if isinstance(shown, dict) and "order" in shown:
        rows = sorted("\n".join(_lines(row, began)) for row in shown["rows"])
        return [*_lines([shown["pages"], shown["order"]], began), *rows]
    return _lines(shown, began)


def _lines(shown: Any, began: datetime) -> list[str]:
    numbers: dict[str, str] = {}
    text = ID.sub(lambda found: numbers.setdefault(found[0], f"id {len(numbers)}"), json.dumps(shown, indent=1))
    return MOMENT.sub(
        lambda found: "imported" if datetime.fromisoformat(found[0]) >= began else found[0], text
    ).splitlines()


async def test_the_gateway_keeps_inside_what_is_for_the_inside(compose: Compose) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{compose.port}") as http:
        assert (await answer(http, "/healthz")) == {"status": "alive"}
        for path in ("/account/metrics", "/opportunity/readyz", "/opportunity/%6Detrics", "/elsewhere"):
            refused = await http.get(path)
            assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
            assert refused.headers["content-type"] == "application/problem+json"
    reader, writer = await asyncio.open_connection("127.0.0.1", compose.port)
    writer.write(b"POST /opportunity/opportunities HTTP/1.1\r\nHost: here\r\nContent-Length: 999999999\r\n\r\n")
    refusal = (await reader.readuntil(b"}")).decode()  # before anything of the body was sent
    writer.close()
    assert refusal.startswith("HTTP/1.1 413 ")
    assert '"code":"body_too_large"' in refusal


@pytest.mark.parametrize("service", ["postgres", "kafka", "gateway", "account-api", "opportunity-worker"])
def test_nobody_is_root_and_nothing_can_be_written(compose: Compose, service: str) -> None:
    assert compose.inside(service, "id", "-u").strip() != "0"
    assert "Read-only" in compose.run("exec", "-T", service, "touch", "/x", fails=True)


def test_a_service_gets_into_its_own_database_only(compose: Compose) -> None:
    for own, other in (("account", "opportunity"), ("opportunity", "account")):
        password = compose.environment[f"DATABASE_PASSWORD_{own.upper()}"]
        address = f"postgresql://keyfold_{own}:{password}@127.0.0.1/keyfold_"
        assert compose.inside("postgres", "psql", f"{address}{own}", "-tAc", "SELECT 1").strip() == "1"
        refused = compose.run("exec", "-T", "postgres", "psql", f"{address}{other}", "-c", "SELECT 1", fails=True)
        assert "permission denied for database" in refused


def test_databases_can_be_made_again_where_they_are(compose: Compose) -> None:
    assert "are there" in compose.inside("postgres", "bash", "/docker-entrypoint-initdb.d/10-keyfold.sh")
