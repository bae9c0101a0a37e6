"""Around every request: its trace, the limit of its body, its metrics and its line in the log. Plain ASGI, for speed."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.kit.trace import continued
from shared.web.metrics import Metrics

LARGEST_BODY = 1024 * 1024
LARGEST_TABLE = 4 * 1024 * 1024  # of a CSV file
QUIET = ("/healthz", "/readyz", "/metrics")

log = structlog.get_logger("keyfold.http")


class BodyTooLargeError(HTTPException):
    """Told as a problem with status 413."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body is larger than {limit} bytes; send it in several requests")


class Observe:
    """Neither the body, nor headers, nor the query are logged: they hold people's data and secrets."""

    def __init__(self, app: ASGIApp, service: str, metrics: Metrics) -> None:
        self._app = app
        self._service = service
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            name: value
            for name, value in scope["headers"]
            if name in (b"traceparent", b"content-length", b"content-type")
        }
        trace = continued(headers.get(b"traceparent", b"").decode("latin-1"))
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["trace"], state["trace_id"] = trace, trace.trace_id
        status = 500
        began = time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"traceparent", trace.traceparent.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(trace_id=trace.trace_id):
            try:
                await self._app(scope, _limited(receive, headers), answer)
            finally:
                self._tell(scope, status, time.perf_counter() - began)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "unknown"
        self._metrics.observe(scope["method"], route, status, seconds)
        if scope["path"].endswith(QUIET):
            return
        write = log.warning if status >= 500 else log.info
        write(
            "request",
            service=self._service,
            method=scope["method"],
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 1),
            caller=scope["state"].get("subject"),
        )


def _limited(receive: Receive, headers: dict[bytes, bytes]) -> Callable[[], Awaitable[Message]]:
    limit = LARGEST_TABLE if headers.get(b"content-type", b"").startswith(b"text/csv") else LARGEST_BODY
    declared = headers.get(b"content-length", b"0")
    read = 0

    async def limited() -> Message:
        nonlocal read
        if declared.isdigit() and int(declared) > limit:
            raise BodyTooLargeError(limit)
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise BodyTooLargeError(limit)
        return message

    return limited
