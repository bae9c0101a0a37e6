"""Around every request: its trace, the limit of its body, its metrics and its line in the log. Plain ASGI, for speed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.kit.trace import continued
from shared.kit.tracing import OFF, Span, SpanKind, Tracing
from shared.web.metrics import Metrics
from shared.web.problems import BodyTooLargeError, BodyTooSlowError, ProblemError, answer_to, respond, unavailable

LARGEST_BODY = 1024 * 1024
LARGEST_TABLE = 4 * 1024 * 1024  # of a CSV file
LONGEST_NUMBER = 18  # digits
LARGEST_HEADERS = 64 * 1024  # bytes of all of them
LONGEST_ADDRESS = 16 * 1024  # bytes of path and query
SLOWEST_BODY = 64 * 1024  # bytes a second: who sends more slowly holds a request for nothing
BODY_SECONDS = 20.0  # beyond that
SAFE = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))  # answers hold people's data
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
QUIET = ("/healthz", "/readyz", "/metrics")
STOPPING = "this process stops before the answer was there; a command may have been carried out: repeat it with its Idempotency-Key"

log = structlog.get_logger("keyfold.http")


def seconds_for(limit: int) -> float:
    """How long a body of at most `limit` bytes may take to arrive."""
    return BODY_SECONDS + limit / SLOWEST_BODY


class Observe:
    """Answers every error, so that what is counted and logged is what the caller got. Neither the body, nor headers, nor the
    query are logged: they hold people's data and secrets.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: str,
        metrics: Metrics,
        tracing: Tracing = OFF,
        patience: Callable[[int], float] = seconds_for,
    ) -> None:
        self._app = app
        self._service = service
        self._metrics = metrics
        self._tracing = tracing
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            name: value
            for name, value in scope["headers"]
            if name in (b"traceparent", b"content-length", b"content-type")
        }
        traceparent = headers.get(b"traceparent", b"").decode("latin-1")
        span = self._span(scope, traceparent)
        trace = span.trace if span is not None else continued(traceparent)
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["trace"], state["trace_id"] = trace, trace.trace_id
        status, begun = 500, False
        began = time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                had = [*message.get("headers", ())]
                names = {name for name, _ in had}
                ours = ((b"traceparent", trace.traceparent.encode()), *(one for one in SAFE if one[0] not in names))
                message["headers"] = [*had, *ours]
            await send(message)

        with structlog.contextvars.bound_contextvars(trace_id=trace.trace_id, span_id=trace.span_id):
            try:
                _check_size(scope)
                await self._app(scope, _limited(receive, headers, state, self._patience), answer)
            except Exception as error:
                if begun:  # half an answer is on its way: the server has to cut the connection
                    log.error("answer broken off", service=self._service, error=type(error).__name__)
                    raise
                await respond(Request(scope), answer_to(error, scope["path"]))(scope, receive, answer)
            except asyncio.CancelledError:  # the process stops and waits no longer
                if not begun:
                    await respond(Request(scope), unavailable("stopping", STOPPING))(scope, receive, answer)
                raise
            finally:
                self._tell(scope, status, time.perf_counter() - began, span)

    def _span(self, scope: Scope, traceparent: str) -> Span | None:
        """No path, no query, no address: they may hold people's data. The route tells enough."""
        if not self._tracing.on or scope["path"].endswith(QUIET):
            return None
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        told = {"http.request.method": method, "url.scheme": scope["scheme"], "keyfold.service": self._service}
        return self._tracing.begin(method, traceparent, SpanKind.SERVER, told)

    def _tell(self, scope: Scope, status: int, seconds: float, span: Span | None) -> None:
        route = getattr(scope.get("route"), "path", None) or "unknown"
        method = scope["method"] if scope["method"] in METHODS else "other"
        if (
            route not in QUIET
        ):  # a probe is nobody's request: its 503 is no failure, its 200 would make failures look rare
            self._metrics.observe(method, route, status, seconds, scope["state"].get("problem"))
        if span is not None:
            span.name(f"{method} {route}")
            span.tell(http__route=route, http__response__status_code=status)
            if status >= 500:
                span.failed(scope["state"].get("problem") or str(status))
            span.end()
        if scope["path"].endswith(QUIET):
            return
        write = log.warning if status >= 500 else log.info
        write(
            "request",
            service=self._service,
            method=method,
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 1),
            caller=scope["state"].get("subject"),
        )


def _check_size(scope: Scope) -> None:
    """Raises ProblemError 414, 431. The server itself takes any."""
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_ADDRESS:
        raise ProblemError(414, "address_too_long", f"path and query may have {LONGEST_ADDRESS} bytes")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > LARGEST_HEADERS:
        raise ProblemError(431, "headers_too_large", f"all headers together may have {LARGEST_HEADERS} bytes")


def _limited(
    receive: Receive,
    headers: dict[bytes, bytes],
    state: MutableMapping[str, Any],
    patience: Callable[[int], float],
) -> Callable[[], Awaitable[Message]]:
    """`state` may come to hold another limit, as `largest_body`, before the body is read. A body has as long as a slow line
    needs for the largest one; waiting for the caller to go away, which the framework does afterwards, has no end."""
    usual = LARGEST_TABLE if headers.get(b"content-type", b"").startswith(b"text/csv") else LARGEST_BODY
    declared = headers.get(b"content-length", b"0")
    read, whole, deadline = 0, False, 0.0

    async def limited() -> Message:
        nonlocal read, whole, deadline
        limit: int = state.get("largest_body", usual)
        if declared.isdigit() and (len(declared) > LONGEST_NUMBER or int(declared) > limit):
            raise BodyTooLargeError(limit)
        if whole:
            return await receive()
        loop = asyncio.get_running_loop()
        deadline = deadline or loop.time() + patience(limit)
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise BodyTooSlowError from None
        read += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if read > limit:
            raise BodyTooLargeError(limit)
        return message

    return limited
