"""Errors as RFC 9457 problems: what is wrong, where, and what would be right; several faults at once."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from shared.contracts.refusal import Reason, RefusedError
from shared.eventstore.types import (
    AppendsRefusedError,
    EventTooLargeError,
    IdempotencyMismatchError,
    StaleVersionError,
    StoreBusyError,
    VersionConflictError,
)
from shared.files.port import FileLostError, FilesUnavailableError
from shared.log.port import LogUnavailableError
from shared.projections.parking import transient
from shared.projections.reads import NotBuiltError, NotYetVisibleError
from shared.projections.tokens import BadTokenError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1
UNREADABLE = "There was an error parsing the body"  # the framework's word for JSON that broke its parser
MOST_ECHOED = 200  # characters of a wrong input that are shown back
MOST_FAULTS = 50
_NOT_JSON = {"model_attributes_type", "model_type", "dict_type", "list_type"}  # what bytes are not
_BAD_TEXT = "22021"  # PostgreSQL's state for characters that it cannot store
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


class BodyTooLargeError(HTTPException):
    """Raised where a body is read; an HTTPException, because the framework lets no other pass there."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body is larger than {limit} bytes; send it in several requests")


class BodyTooSlowError(HTTPException):
    """Raised where a body is read that does not arrive in time."""

    def __init__(self) -> None:
        super().__init__(408, "the body did not arrive in time; nothing was done", {"Connection": "close"})


def respond(request: Request, problem: ProblemError) -> Response:
    request.state.problem = problem.code
    told = tell(problem, request.url.path, getattr(request.state, "trace_id", None))
    content = json.dumps(told.model_dump(exclude_none=True), ensure_ascii=False).encode()
    return Response(content, problem.status, problem.headers, MEDIA_TYPE)


def tell(problem: ProblemError, instance: str, trace_id: str | None = None) -> Problem:
    """What a caller is told; `instance` is where it happened."""
    return Problem(
        type=f"urn:keyfold:problem:{problem.code}",
        title=problem.code.replace("_", " "),
        status=problem.status,
        detail=problem.detail,
        instance=instance,
        code=problem.code,
        errors=list(problem.errors),
        trace_id=trace_id,
    )


def answer_to(error: Exception, path: str) -> ProblemError:
    """The problem of any error. What nobody foresaw is logged, with its trace, and told without its details."""
    problem = problem_of(error)
    if problem is None:
        log.error("unforeseen error", path=path, error=type(error).__name__, exc_info=error)
        return ProblemError(500, "internal_error", "this should not have happened; quote the trace_id to report it")
    if problem.status >= 500:
        log.warning("unavailable", path=path, code=problem.code, detail=problem.detail, cause=str(error))
    return problem


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
        case AppendsRefusedError():
            return unavailable("appends_refused", str(error))
        case LogUnavailableError():
            return unavailable("log_unavailable", "the log cannot be reached now; try again")
        case FilesUnavailableError():
            return unavailable("files_unavailable", "the place where files are kept cannot be used now; try again")
        case FileLostError():
            return ProblemError(500, "file_lost", "the file is on record, its bytes are not where they should be")
        case RequestValidationError():
            return _invalid(error)
        case BodyTooLargeError():
            return ProblemError(413, "body_too_large", str(error.detail))
        case HTTPException() if error.status_code == 400 and error.detail == UNREADABLE:
            return ProblemError(
                400, "broken_json", "the body cannot be read: it is nested too deep, or a number is too long"
            )
        case HTTPException():
            return ProblemError(error.status_code, _code(error.status_code), _detail(error), headers=error.headers)
        case PoolTimeoutError():
            return unavailable("busy", "all database connections are in use; try again shortly")
        case DBAPIError() | OSError() | asyncpg.PostgresError() | asyncpg.InterfaceError():
            return _of_database(error)
    return None


def _of_database(error: Exception) -> ProblemError | None:
    if transient(error):
        return unavailable(
            "database_unavailable", "the database cannot be reached now; nothing was acknowledged, try again"
        )
    if getattr(getattr(error, "orig", error), "sqlstate", None) == _BAD_TEXT:
        return ProblemError(422, "bad_text", "text must not contain a zero character")
    return None


def unavailable(code: str, detail: str) -> ProblemError:
    return ProblemError(503, code, detail, headers={"Retry-After": str(RETRY_SECONDS)})


def install(app: FastAPI) -> None:
    """Tell the framework's own errors as problems. All others rise to `Observe`, which answers them (or to the server, if the
    app has none): the framework would answer those that it does not know and raise them all the same.
    """
    app.add_exception_handler(HTTPException, _handle)
    app.add_exception_handler(RequestValidationError, _handle)


async def _handle(request: Request, error: Exception) -> Response:
    return respond(request, answer_to(error, request.url.path))


def _fault(reason: Reason) -> Fault:
    return Fault(code=reason.code, message=reason.message, field=reason.field, expected=reason.expected)


def _code(status: int) -> str:
    return HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")


def _detail(error: HTTPException) -> str:
    if str(error.detail) != HTTPStatus(error.status_code).phrase:
        return str(error.detail)
    if error.status_code == 404:
        return "there is nothing at this address; `openapi.json` lists what there is"
    if error.status_code == 405:
        return f"this address takes {(error.headers or {}).get('Allow', 'other methods')}"
    return str(error.detail)


def _invalid(error: RequestValidationError) -> ProblemError:
    found = error.errors()
    faults = [_validation_fault(one) for one in found[:MOST_FAULTS]]
    if any(fault.code == "json_invalid" for fault in faults):
        return ProblemError(400, "broken_json", "the body is not JSON", errors=faults)
    if isinstance(error.body, bytes) and any(
        one["type"] in _NOT_JSON and tuple(one["loc"]) == ("body",) for one in found
    ):
        return ProblemError(415, "not_json", "send the body as JSON, with `Content-Type: application/json`")
    return ProblemError(422, "invalid_request", "; ".join(_said(fault) for fault in faults[:5]), errors=faults)


def _validation_fault(one: Mapping[str, Any]) -> Fault:
    where = [str(part) for part in one["loc"]]
    if where and where[0] in ("body", "query", "path", "header") and len(where) > 1:
        where = where[1:]
    message = str(one["msg"]).removeprefix("Value error, ")
    value = one.get("input")
    if isinstance(value, str | int | float | bool) and one["type"] != "json_invalid":
        message = f"{message} (got {str(value)[:MOST_ECHOED]!r})"
    return Fault(code=str(one["type"]), message=message, field=".".join(where)[:MOST_ECHOED])


def _said(fault: Fault) -> str:
    return f"{fault.field}: {fault.message}" if fault.field else fault.message
