"""The API of the opportunity service with an echo route beside it, as a process: `python -m bench.api DSN LOG_DSN FOLDER`.

Tells its port and a token when it is ready, as a line of JSON, and ends when its input is closed. No worker runs here: what is
measured is the command alone.
"""

import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from fastapi import FastAPI

from services.opportunity.app import SERVICE
from services.opportunity.domain.opportunity.terms import Comment
from shared.kit.garbage import collect_seldom
from shared.kit.permissions import ROLES
from shared.kit.settings import Settings
from shared.kit.telemetry import configure_logging
from shared.log.open import open_log
from shared.service.backend import migrate_service, open_backend
from shared.service.http import serve_http
from shared.web.app import make_app
from shared.web.auth import Verifier
from shared.web.own_issuer import ISSUER, OwnIssuer

AUDIENCE = "keyfold"


def add_echo(app: FastAPI) -> None:
    """What a route costs that only reads its body, validates it and sends it back; nobody is asked who they are."""

    @app.post("/echo")
    async def echo(body: Comment) -> Comment:
        return body


async def main(dsn: str, log_dsn: str, folder: Path) -> None:
    collect_seldom()  # as every process of Keyfold
    configure_logging("warning", "text")  # no line for each request, in either route
    calendar = Settings(_env_file=None).calendar
    issuer, log = OwnIssuer.open(folder), open_log(log_dsn)
    await migrate_service(SERVICE, dsn, log, b"bench", calendar)
    stop, draining = asyncio.Event(), asyncio.Event()

    def ready(address: str) -> None:
        print(json.dumps({"port": urlsplit(address).port, "token": issuer.mint("bench", ROLES, AUDIENCE)}), flush=True)

    async with open_backend(SERVICE, dsn, log, b"bench", calendar) as backend:
        app = make_app(backend, Verifier(issuer, ISSUER, AUDIENCE), draining)
        add_echo(app)
        waiting = asyncio.create_task(_closed(stop))
        await serve_http(app, "127.0.0.1", 0, stop, on_ready=ready, draining=draining)
        await waiting
    await log.close()


async def _closed(stop: asyncio.Event) -> None:
    await asyncio.to_thread(sys.stdin.read)
    stop.set()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
