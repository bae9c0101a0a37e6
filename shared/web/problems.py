"""Errors as RFC 9457 problems: what is wrong, where, and what would be right; several faults at once."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.contracts.refusal import Reason, RefusedError
from shared.eventstore.types import (
    EventTooLargeError,
    IdempotencyMismatchError,
    StaleVersionError,
    StoreBusyError,
    VersionConflictError,
)
from shared.projections.parking import transient
from shared.projections.reads import NotBuiltError, NotYetVisibleError
from shared.projections.tokens import BadTokenError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1
MOST_ECHOED = 200  # characters of a wrong input that are shown back
_STATUS_OF_KIND = {"rule": 409, "input": 422, "missing": 404, "forbidden": 403}

log = structlog.get_logger(__name__)


class Fault(BaseModel):
    """One thing that is wrong. `field`: where, as a path into the body or the name of a parameter."""

    code: str = Field(examples=["wrong_stage_order"])
    message: str
    field: str | None = None
    expected: str | None = None


class Problem(BaseModel):
    """RFC 9457, with a stable `code`, every fault in `errors`, and the trace to quote when asking for help."""

    type: str = Field(examples=["urn:keyfold:problem:wrong_stage_order"])
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[Fault] = []
    trace_id: str | None = None


class ProblemError(Exception):
    """Raised by routes and dependencies of the web kit for what is wrong with a request."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def bad_request(code: str, message: str, *, field: str, expected: str | None = None) -> ProblemError:
    """A 400 about one parameter or header."""
    return ProblemError(400, code, message, errors=[Fault(code=code, message=message, field=field, expected=expected)])


def respond(request: Request, problem: ProblemError) -> JSONResponse:
    body = Problem(
        type=f"urn:keyfold:problem:{problem.code}",
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        instance=request.url.path,
        code=problem.code,
        errors=list(problem.errors),
        trace_id=getattr(request.state, "trace_id", None),
    )
    return JSONResponse(
        jsonable_encoder(body, exclude_none=True),
        problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def problem_of(error: Exception) -> ProblemError | None:
    """The problem that an error of the layers below is to a caller; None for one that nobody foresaw."""
    match error:
        case ProblemError():
            return error
        case RefusedError():
            return ProblemError(
                _STATUS_OF_KIND[error.kind],
                error.reasons[0].code,
                str(error),
                errors=[_fault(r) for r in error.reasons],
            )
        case StaleVersionError():
            return ProblemError(
                412,
                "stale_version",
                f"If-Match asks for version {error.expected}, it is at version {error.actual}; read it again, then decide",
                headers={"ETag": f'"{error.actual}"'},
            )
        case VersionConflictError():
            return ProblemError(409, "conflict", "others are changing the same thing at the same moment; try again")
        case IdempotencyMismatchError():
            return ProblemError(
                422,
                "idempotency_key_reused",
                "this Idempotency-Key was used with another request; a new request needs a new key",
            )
        case EventTooLargeError():
            return ProblemError(422, "event_too_large", str(error))
        case BadTokenError():
            return bad_request("bad_position", str(error), field="Keyfold-Position", expected="opportunity/3@1234")
        case StoreBusyError() | NotYetVisibleError() | NotBuiltError():
            code = {StoreBusyError: "busy", NotYetVisibleError: "not_yet_visible", NotBuiltError: "not_built"}[
                type(error)
            ]
            return unavailable(code, str(error))
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return ProblemError(error.status_code, _code(error.status_code), str(error.detail), headers=error.headers)
        case PoolTimeoutError():
            return unavailable("busy", "all database connections are in use; try again shortly")
        case DBAPIError() | OSError() | asyncpg.PostgresError() | asyncpg.InterfaceError() if transient(error):
            return unavailable(
                "database_unavailable", "the database cannot be reached now; nothing was acknowledged, try again"
            )
    return None


def unavailable(code: str, detail: str) -> ProblemError:
    return ProblemError(503, code, detail, headers={"Retry-After": str(RETRY_SECONDS)})


def install(app: FastAPI) -> None:
    """Turn every error into a problem. What nobody foresaw is logged with its trace and told without its details."""
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _handle)
    app.add_middleware(Told)


class Told:
    """Answers for every other error. (A handler for `Exception` would stand outside of what observes requests, and the
    framework would raise the error again after answering.)"""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = scope["type"] != "http"

        async def sending(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if started:
                raise
            response = await _handle(Request(scope), error)
            await response(scope, receive, send)


async def _handle(request: Request, error: Exception) -> JSONResponse:
    problem = problem_of(error)
    if problem is None:
        log.error("unforeseen error", path=request.url.path, error=type(error).__name__, exc_info=error)
        problem = ProblemError(500, "internal_error", "this should not have happened; quote the trace_id to report it")
    elif problem.status == 503:
        log.warning("unavailable", path=request.url.path, code=problem.code, detail=problem.detail, cause=str(error))
    return respond(request, problem)


def _fault(reason: Reason) -> Fault:
    return Fault(code=reason.code, message=reason.message, field=reason.field, expected=reason.expected)


def _code(status: int) -> str:
    return HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")


def _invalid(error: RequestValidationError) -> ProblemError:
    faults = [_validation_fault(one) for one in error.errors()]
    if any(fault.code == "json_invalid" for fault in faults):
        return ProblemError(400, "broken_json", "the body is not JSON", errors=faults)
    return ProblemError(422, "invalid_request", "; ".join(_said(fault) for fault in faults[:5]), errors=faults[:50])


def _validation_fault(one: Mapping[str, Any]) -> Fault:
    where = [str(part) for part in one["loc"]]
    if where and where[0] in ("body", "query", "path", "header") and len(where) > 1:
        where = where[1:]
    message = str(one["msg"]).removeprefix("Value error, ")
    value = one.get("input")
    if isinstance(value, str | int | float | bool) and one["type"] != "json_invalid":
        message = f"{message} (got {str(value)[:MOST_ECHOED]!r})"
    return Fault(code=str(one["type"]), message=message, field=".".join(where))


def _said(fault: Fault) -> str:
    return f"{fault.field}: {fault.message}" if fault.field else fault.message
