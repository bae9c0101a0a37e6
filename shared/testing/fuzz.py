"""Requests of every kind against a served app: what its OpenAPI document allows, and what it forbids.

::

    async with served(app) as address:
        await assert_no_server_errors(address, token)
"""

import asyncio
import io
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, redirect_stdout
from functools import partial
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from starlette.types import ASGIApp

from shared.service.http import serve_http

load_all_checks()
PROMISES = CHECKS.get_by_names(["not_a_server_error", "response_schema_conformance"])
SECONDS = 20  # that one answer may take
# Dates in their own time zone, but not in every other: what reckons with them must have looked at the year before.
EDGES = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """The app on a free port of this machine, in this event loop; its address."""
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve_http(app, "127.0.0.1", 0, stop, on_ready=ready.set_result, draining=asyncio.Event())
    )
    serving.add_done_callback(lambda _: ready.cancel())  # it ended before it began: the reason is raised below
    try:
        yield await ready
    finally:
        stop.set()
        await serving


async def assert_no_server_errors(
    address: str,
    token: str,
    *,
    known: Mapping[str, Mapping[str, str]] | None = None,
    examples: int = 12,
) -> None:
    """Calls every operation with `examples` requests, valid and invalid, and with the first and the last moments that can be
    written wherever it takes one, the same requests each time; raises AssertionError that
    names every operation which answered 5xx, or otherwise than its document says, with a request that makes it do so.

    `known`: beginning of a path → path parameters that exist, for the valid requests. Called from the loop that serves the app.
    """
    await asyncio.to_thread(_fuzz, address, token, known or {}, examples)


def _fuzz(address: str, token: str, known: Mapping[str, Mapping[str, str]], examples: int) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    failures: list[str] = []
    with warnings.catch_warnings(), requests.Session() as session:
        warnings.simplefilter("ignore")  # a library's remarks on its own ways of making data
        schemathesis.serializer("text/csv")(_csv)
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json", headers=headers)
        operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
        if not operations or len(operations) < schema.statistic.operations.total:
            raise AssertionError(f"{address}/openapi.json has operations that cannot be read, or none")
        for operation in operations:
            fixed = next((dict(ids) for start, ids in known.items() if operation.path.startswith(start)), None)
            cases = operation.as_strategy(generation_mode=GenerationMode.POSITIVE, path_parameters=fixed)
            if operation.body or any(operation.iter_parameters()):  # else there is nothing to be wrong about
                cases |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
            failures += _try(operation, cases, headers, session, examples)
            usual = operation.as_strategy(generation_mode=GenerationMode.POSITIVE, path_parameters=fixed)
            for edge in _Moments(schema.raw_schema, operation).cases(usual):
                failures += _try(operation, edge, headers, session, 1)
    if failures:
        raise AssertionError("\n\n".join(failures))


def _try(
    operation: Any, cases: SearchStrategy[Any], headers: dict[str, str], session: requests.Session, examples: int
) -> list[str]:
    """What goes wrong with one operation: nothing, or one text."""

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def attempt(case: Any) -> None:
        case.call_and_validate(headers=headers, session=session, checks=PROMISES, timeout=SECONDS)

    try:
        with redirect_stdout(io.StringIO()):
            attempt()
    except (FailureGroup, AssertionError, requests.RequestException) as error:
        return [f"{operation.method.upper()} {operation.path}: {_told(error)}"]
    return []


class _Moments:
    """Where an operation takes a moment: names of parameters in the query, and of fields of a JSON body."""

    def __init__(self, document: Mapping[str, Any], operation: Any) -> None:
        self._document = document
        described = document["paths"][operation.path][operation.method]
        in_query = [one for one in described.get("parameters", ()) if one["in"] == "query"]
        self._query = [one["name"] for one in in_query if self._is_moment(one["schema"])]
        self._required = {one["name"] for one in in_query if one.get("required")}
        content = described.get("requestBody", {}).get("content", {}).get("application/json", {})
        fields = self._resolved(content.get("schema", {})).get("properties", {})
        self._body = [name for name, schema in fields.items() if self._is_moment(schema)]
        examples = [one["value"] for one in content.get("examples", {}).values() if "value" in one]
        self._example: Mapping[str, Any] | None = examples[0] if examples else None

    def cases(self, usual: SearchStrategy[Any]) -> Iterator[SearchStrategy[Any]]:
        """For each place and edge: a request that says nothing else that it need not say, so that nothing else is refused."""
        for edge in EDGES:
            for name in self._query:
                yield usual.map(partial(self._asking, {name: edge}))
            for name in self._body:
                yield usual.map(partial(self._sending, {name: edge}))

    def _asking(self, said: dict[str, str], case: Any) -> Any:
        case.query = {name: value for name, value in (case.query or {}).items() if name in self._required} | said
        return case

    def _sending(self, said: dict[str, str], case: Any) -> Any:
        case.query, case.headers = {}, {}
        case.body = {**(self._example if self._example is not None else case.body), **said}
        return case

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in schema:
            return schema
        named: Any = self._document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            named = named[part]
        return self._resolved(named)

    def _is_moment(self, schema: Mapping[str, Any]) -> bool:
        return any(one.get("format") == "date-time" for one in (schema, *schema.get("anyOf", ())))


def _told(error: BaseException) -> str:
    parts = error.exceptions if isinstance(error, FailureGroup) else (error,)
    return "\n".join(str(part) for part in parts)


def _csv(_: Any, value: Any) -> bytes:
    """A table is sent as it was made up: mostly no table."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
