"""What the opportunity service needs to run as processes of its own: servers, an issuer's keys on a port, settings."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench.harness import Bench
from bench.servers import keyfold
from shared.kit.permissions import ROLES
from shared.web.own_issuer import ISSUER, OwnIssuer

AUDIENCE = "keyfold"


@asynccontextmanager
async def migrated(bench: Bench) -> AsyncIterator[tuple[dict[str, str], str]]:
    """(environment of its processes, a token). PostgreSQL and Kafka are servers of their own. Raises PeerMissing."""
    issuer = OwnIssuer.open(bench.servers.folder / "issuer")
    with _published(issuer) as jwks:
        environment = {
            "KEYFOLD_DATABASE_URL": await bench.servers.postgres(),
            "KEYFOLD_LOG_URL": f"kafka://{await bench.servers.kafka()}",
            "KEYFOLD_SECRET": "a secret of the benchmark",
            "KEYFOLD_ISSUER": ISSUER,
            "KEYFOLD_JWKS_URL": jwks,
            "KEYFOLD_DATA": str(bench.servers.folder / "distributed"),
            "KEYFOLD_FILES_URL": (bench.servers.folder / "files").absolute().as_uri(),
            "KEYFOLD_PORT": "0",
            "KEYFOLD_LOG_FORMAT": "json",
        }
        async with keyfold("migrate", says="opportunity", **environment) as done:
            await done.wait()
        yield environment, issuer.mint("bench", ROLES, AUDIENCE)


@contextmanager
def _published(issuer: OwnIssuer) -> Iterator[str]:
    """The address of the issuer's keys."""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(issuer.jwks()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
