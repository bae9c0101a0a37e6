"""An API and a worker per service, as processes of their own, on a PostgreSQL server and an Apache Kafka broker."""

import asyncio
import json
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.kit.permissions import ROLES
from shared.kit.postgres_server import start_postgres
from shared.web.own_issuer import ISSUER, OwnIssuer
from tests.e2e.conftest import Start, Started, free_port

ISSUED = OwnIssuer(Ed25519PrivateKey.generate())
EXPORT = {
    "accounts.csv": "account,sector,year_established,revenue,employees,office_location,subsidiary_of\n"
    "Nordlicht,technolgy,1990,10.5,20,Norway,\nPolar,medical,1991,11.5,30,Norway,Nordlicht\n",
    "products.csv": "product,series,sales_price\nPump One,P,550\n",
    "sales_teams.csv": "sales_agent,manager,regional_office\nAda Lin,Bo Chen,North\n",
    "sales_pipeline.csv": "opportunity_id,sales_agent,product,account,deal_stage,engage_date,close_date,close_value\n"
    "A1,Ada Lin,Pump One,Polar,Won,1/10/2017,3/1/2017,1054\n"
    "A2,Ada Lin,PumpOne,Nordlicht,Engaging,2/10/2017,,\n"
    "A3,Ada Lin,Pump One,,Prospecting,,,\n"
    "A4,Ada Lin,Pump One,Polar,Won,5/10/2017,3/1/2017,1\n",
}


@pytest.fixture
def jwks_url() -> Iterator[str]:
    """An issuer's keys on a port of its own."""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(ISSUED.jwks()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jwks.json"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Town:
    """The processes of an installation, by what they do."""

    start: Start
    settings: dict[str, str]
    ports: dict[str, int]

    async def run(self, *arguments: str) -> str:
        """A command that ends by itself; what it printed."""
        done = await self.start(*arguments, **self.settings, KEYFOLD_LOG_LEVEL="error")
        assert await done.ends() == 0, done.output
        return done.output

    async def serve(self, service: str) -> Started:
        started = await self.start("serve", service, **self.settings, KEYFOLD_PORT=str(self.ports[service]))
        await started.says('"ready"')
        return started

    async def work(self, service: str) -> Started:
        started = await self.start("work", service, **self.settings, KEYFOLD_PORT="0")
        address = json.loads(await started.says('"working"'))["address"]
        async with httpx.AsyncClient(base_url=address) as client, asyncio.timeout(60):
            while (ready := await client.get("/readyz")).status_code == 503:
                assert ready.json()["checks"][service]["database"] == "ok"
            assert ready.json()["checks"][service]["heart"] == "beats"
            assert "keyfold_workers" in (await client.get("/metrics")).text
        return started

    def client(self, service: str) -> httpx.AsyncClient:
        token = ISSUED.mint("erp", ROLES, "keyfold")
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.ports[service]}", headers={"Authorization": f"Bearer {token}"}, timeout=30
        )


@pytest_asyncio.fixture(loop_scope="session")
async def town(start: Start, kafka: str, jwks_url: str, tmp_path: Path) -> AsyncIterator[Town]:
    server = await asyncio.to_thread(start_postgres, tmp_path / "postgres")
    settings = {
        "KEYFOLD_DATABASE_URL": server.dsn(),
        "KEYFOLD_LOG_URL": f"kafka://{kafka}",
        "KEYFOLD_SECRET": "a secret of this test only",
        "KEYFOLD_ISSUER": ISSUER,
        "KEYFOLD_JWKS_URL": jwks_url,
        "KEYFOLD_DATA": str(tmp_path / "data"),
        "KEYFOLD_FILES_URL": (tmp_path / "files").as_uri(),
    }
    yield Town(start, settings, {"account": free_port(), "opportunity": free_port()})
    await asyncio.to_thread(server.stop)


async def _post(client: httpx.AsyncClient, path: str, body: Any, status: int = 200) -> httpx.Response:
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer


async def test_four_processes_serve_facts_to_each_other_through_kafka(town: Town, tmp_path: Path) -> None:
    await town.run("migrate")
    processes = [await town.serve("account"), await town.serve("opportunity"), await town.work("account")]
    worker = await town.work("opportunity")
    async with town.client("account") as accounts, town.client("opportunity") as opportunities:
        account = await _post(accounts, "/accounts", {"name": "Huadong Power Grid", "names": {"zh": "华东电网"}}, 201)
        position = account.headers["Keyfold-Position"]
        arrived = await opportunities.get("/opportunities", headers={"Keyfold-Position": position})
        assert arrived.status_code == 200, arrived.text
        deal = {
            "name": "Substation",
            "account_id": account.json()["id"],
            "amount": {"minor": 5_000_00, "currency": "CNY"},
        }
        opened = await _post(opportunities, "/opportunities", deal, 201)
        path = f"/opportunities/{opened.json()['id']}"
        page = await opportunities.get(path, headers={"Keyfold-Position": opened.headers["Keyfold-Position"]})
        assert page.json()["account"]["name"] == "Huadong Power Grid"

        worker.process.send_signal(signal.SIGKILL)
        await worker.ends()
        comment = await _post(opportunities, f"{path}/comments", {"text": "nobody folds this yet"})
        token = {"Keyfold-Position": comment.headers["Keyfold-Position"]}
        processes.append(await town.work("opportunity"))
        async with asyncio.timeout(60):
            while (seen := await opportunities.get(f"{path}/history", headers=token)).status_code == 503:
                assert seen.json()["code"] == "not_yet_visible"
        assert "nobody folds this yet" in seen.text

        export = tmp_path / "export"
        export.mkdir()
        for name, content in EXPORT.items():
            (export / name).write_text(content)
        report = json.loads(await town.run("import", "crm-csv", str(export), "--json"))
        deals = next(row for row in report["summary"] if row["file"] == "sales_pipeline.csv")
        assert (deals["read"], deals["taken"], deals["rejected"], deals["won"]) == (4, 3, 1, 1)
        assert report["visible"] is True
        again = json.loads(await town.run("import", "crm-csv", str(export), "--json"))
        assert [row["unchanged"] for row in again["summary"]] == [row["taken"] for row in again["summary"]]
        won = await opportunities.get("/opportunities", params={"process": "crm-export", "outcome": "won"})
        assert won.json()["totals"] == {"count": 1, "sums": [{"currency": "USD", "count": 1, "minor": 105400}]}

    for row in json.loads(await town.run("lag", "--json")):
        assert (row["events"], row["parked"], row["alarms"]) == (0, 0, "")
    verified = json.loads(await town.run("verify", "opportunity", "--json"))
    assert {row["rows_differing"] for row in verified} == {0}
    rebuilt = json.loads(await town.run("rebuild", "opportunity", "opportunity_timeline", "--json"))
    assert rebuilt[0]["generation"] == 2
    for process in processes:
        assert await process.stop() == 0, process.output


async def test_what_is_missing_is_named_at_once(start: Start) -> None:
    refused = await start("serve", "opportunity")
    assert await refused.ends() != 0
    for name in ("DATABASE_URL", "LOG_URL", "SECRET", "ISSUER", "FILES_URL"):
        assert f"KEYFOLD_{name}" in refused.output
