"""The real services as their operators run them: an API and a worker, processes of their own, on a database server that can be
killed. Talked to over HTTP.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.kit.permissions import ROLES
from shared.kit.postgres_server import PostgresServer, start_postgres
from shared.web.own_issuer import ISSUER, OwnIssuer
from tests.e2e.conftest import free_port
from tests.faults.chaos import PATIENCE
from tests.faults.processes import Processes, Program

ISSUED = OwnIssuer(Ed25519PrivateKey.generate())
SERVICE = "opportunity"
HOLDING = "SELECT count(*) FROM store.event WHERE position(to_json($1::text)::text IN data::text) > 0"


@contextmanager
def issuer() -> Iterator[str]:
    """An issuer's keys on a port of its own; their address."""

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
    try:
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Server:
    """A PostgreSQL server of the tests' own that comes back after each kill, on the same port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: PostgresServer = start_postgres(folder)
        self.dsn = self._server.dsn()

    def kill(self) -> None:
        self._server.kill()

    def start(self) -> None:
        if not self._server.is_running():
            self._server = start_postgres(self._folder)

    def stop(self) -> None:
        self._server.stop()

    def database(self, name: str) -> str:
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{name}"))


@dataclass
class Town:
    """`apis`: those that answer, by port."""

    server: Server
    processes: Processes
    settings: dict[str, str]
    apis: dict[int, Program] = field(default_factory=dict)

    async def create_database(self, name: str) -> None:
        connection = await asyncpg.connect(self.server.dsn)
        try:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        finally:
            await connection.close()

    async def migrate(self) -> None:
        done = await self.processes.keyfold("migrate", "migrate", **self.settings)
        assert await done.ended() == 0, "\n".join(done.said)

    async def serve(self, port: int | None = None) -> int:
        """An API that is ready; its port."""
        chosen = port or free_port()
        api = await self.processes.keyfold("serve", "serve", SERVICE, **self.settings, KEYFOLD_PORT=str(chosen))
        self.apis[chosen] = api
        await api.tells("ready")
        return chosen

    async def work(self) -> Program:
        worker = await self.processes.keyfold("work", "work", SERVICE, **self.settings, KEYFOLD_PORT="0")
        await worker.tells("working")
        return worker

    @staticmethod
    def client(port: int) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=authorised(), timeout=PATIENCE)

    async def holding(self, text: str) -> int:
        """How many recorded events hold the text."""
        connection = await asyncpg.connect(self.server.database(f"keyfold_{SERVICE}"))
        try:
            return int(await connection.fetchval(HOLDING, text))
        finally:
            await connection.close()


def authorised() -> dict[str, str]:
    return {"Authorization": f"Bearer {ISSUED.mint('erp', ROLES, 'keyfold')}"}


async def post_and_hang_up(port: int, path: str, body: Any, key: str) -> None:
    """Send a command and close the connection: whatever the answer is, nobody hears it."""
    content = json.dumps(body).encode()
    headers = authorised() | {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Idempotency-Key": key,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def settings_of(server: Server, jwks_url: str, folder: Path) -> dict[str, str]:
    return {
        "KEYFOLD_DATABASE_URL": server.dsn,
        "KEYFOLD_LOG_URL": server.database("keyfold_log"),
        "KEYFOLD_SECRET": "a secret of these tests only",
        "KEYFOLD_RATE": "0",
        "KEYFOLD_ISSUER": ISSUER,
        "KEYFOLD_JWKS_URL": jwks_url,
        "KEYFOLD_DATA": str(folder / "data"),
        "KEYFOLD_FILES_URL": (folder / "files").absolute().as_uri(),
    }
