"""The app factory: a service's routes, and everything that all services have in common."""

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from shared.service.backend import Backend
from shared.service.definition import Service
from shared.service.worker import Worker
from shared.web import events, health, key_uses, problems
from shared.web.auth import Verifier
from shared.web.key_verifier import KeyVerifier
from shared.web.metrics import Metrics
from shared.web.middleware import METHODS, Observe
from shared.web.rates import Limits, limits

VERSION = "0.1.0"
DESCRIPTION = """{description}

Commands are POSTs and PUTs to what they change. All of them take `Idempotency-Key`, `If-Match` and `?dry_run=true`, and answer
with the entity's version (`ETag`) and a position token (`Keyfold-Position`). A read that sends the token shows that write.
Errors are RFC 9457 problems.

`Authorization: Bearer` takes a JWT of the issuer or an API key (`kf_…`). A key needs the scope `{name}:read` for GET and HEAD,
`{name}:write` for everything else, dry runs too.
"""


_TAGS = {
    "history": "Every event of the service.",
    "key uses": "When API keys were last used here.",
    "operations": "Whether it runs, and how.",
}
API_KEY = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "kf_<id>_<secret>",
    "description": "An API key of the account service (`POST /api-keys`), narrowed by its scopes.",
}
PROBLEM_CONTENT = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


class ServiceApp(FastAPI):
    """Its OpenAPI document says of every error that it is a problem, for the framework only knows of JSON."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"]["Problem"] = _schema(problems.Problem)
            document["components"]["schemas"]["Fault"] = _schema(problems.Fault)
            for name in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name, None)
            document["components"].setdefault("securitySchemes", {})["ApiKey"] = API_KEY
            for operations in document["paths"].values():
                for operation in operations.values():
                    _tell_problems(operation["responses"])
                    if "security" in operation:  # either of them
                        operation["security"] = [*operation["security"], {"ApiKey": []}]
        return super().openapi()


# What a front end in a browser may send and read beside what browsers allow anyway.
ASKED_BY_HEADER = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Keyfold-Position", "traceparent")
TOLD_BY_HEADER = (
    "ETag", "Keyfold-Position", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate",
    "Content-Disposition", "Idempotency-Replayed", "traceparent",
)  # fmt: skip
PREFLIGHT_SECONDS = 3_600


def _schema(model: type[problems.Problem | problems.Fault]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return schema


def _tell_problems(responses: dict[str, Any]) -> None:
    ours = [f"#/components/schemas/{name}" for name in ("Problem", "HTTPValidationError")]
    for status, response in responses.items():
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        if status >= "400" and schema.get("$ref") in ours:
            response["content"] = PROBLEM_CONTENT
            if response["description"] == "Validation Error":
                response["description"] = "the input cannot be right"
    responses.setdefault("default", {"description": "a problem", "content": PROBLEM_CONTENT})


def describe(service: Service, *, root_path: str = "") -> FastAPI:
    """The app without a backend: its OpenAPI document is complete, its routes cannot be called yet."""
    app = ServiceApp(
        title=f"Keyfold: {service.title}",
        version=VERSION,
        description=DESCRIPTION.format(description=service.description, name=service.name),
        root_path=root_path,
        openapi_tags=[{"name": name, "description": about} for name, about in {**service.tags, **_TAGS}.items()],
        separate_input_output_schemas=False,
        redirect_slashes=False,  # a thing has one address
    )
    for router in (*service.routers, events.router, key_uses.router, health.router):
        app.include_router(router)
    problems.install(app)
    return app


UNLIMITED = limits(0, 1)


def make_app(
    backend: Backend,
    verifier: Verifier,
    draining: asyncio.Event,
    *,
    root_path: str = "",
    allowed: Limits = UNLIMITED,
    origins: Sequence[str] = (),
) -> FastAPI:
    """`draining`: set when the process is about to stop, so that it is taken out of rotation first. `origins`: of front ends in
    browsers that may call from another address."""
    app = describe(backend.service, root_path=root_path)
    app.state.backend = backend
    app.state.verifier = verifier
    app.state.key_verifier = KeyVerifier(backend)
    app.state.draining = draining
    app.state.limits = allowed
    app.state.metrics = Metrics(backend.figures)
    app.add_middleware(Observe, service=backend.service.name, metrics=app.state.metrics, tracing=backend.tracing)
    if origins:  # around everything else, so that a browser may read refusals too
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=ASKED_BY_HEADER,
            expose_headers=TOLD_BY_HEADER,
            max_age=PREFLIGHT_SECONDS,
        )
    return app


def make_worker_app(worker: Worker, draining: asyncio.Event) -> FastAPI:
    """What a worker answers over HTTP: whether it lives, whether it works, its figures. Nothing of the service itself.

    `draining`: set when it is about to stop."""
    service = worker.backend.service.name
    app = FastAPI(
        title=f"Keyfold: worker of {service}", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.include_router(health.worker_router)
    problems.install(app)
    app.state.backend = worker.backend
    app.state.worker = worker
    app.state.draining = draining
    app.state.metrics = Metrics(worker.backend.figures)
    app.add_middleware(Observe, service=service, metrics=app.state.metrics)
    return app
