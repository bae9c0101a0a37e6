"""The app factory: a service's routes, and everything that all services have in common."""

import asyncio

from fastapi import FastAPI

from shared.service.backend import Backend
from shared.service.definition import Service
from shared.web import events, health, problems
from shared.web.auth import Verifier
from shared.web.metrics import Metrics
from shared.web.middleware import Observe

VERSION = "0.1.0"
DESCRIPTION = """{description}

Commands are POSTs and PUTs to what they change. All of them take `Idempotency-Key`, `If-Match` and `?dry_run=true`, and answer
with the entity's version (`ETag`) and a position token (`Keyfold-Position`). A read that sends the token shows that write.
Errors are RFC 9457 problems.
"""


def describe(service: Service, *, root_path: str = "") -> FastAPI:
    """The app without a backend: its OpenAPI document is complete, its routes cannot be called yet."""
    app = FastAPI(
        title=f"Keyfold: {service.title}",
        version=VERSION,
        description=DESCRIPTION.format(description=service.description),
        root_path=root_path,
        separate_input_output_schemas=False,
    )
    for router in (*service.routers, events.router, health.router):
        app.include_router(router)
    problems.install(app)
    return app


def make_app(backend: Backend, verifier: Verifier, draining: asyncio.Event, *, root_path: str = "") -> FastAPI:
    """`draining`: set when the process is about to stop, so that it is taken out of rotation first."""
    app = describe(backend.service, root_path=root_path)
    app.state.backend = backend
    app.state.verifier = verifier
    app.state.draining = draining
    app.state.metrics = Metrics(backend.service.name)
    app.add_middleware(Observe, service=backend.service.name, metrics=app.state.metrics)
    return app
