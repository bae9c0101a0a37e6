"""Nothing of a request runs in a thread: FastAPI sends plain functions there, and every hop costs more than most of them do."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from services.catalogue import SERVICES
from shared.service.definition import Service
from shared.web import events, health


def _waits(call: Callable[..., Any]) -> bool:
    parts = (call, getattr(call, "__call__", None))  # noqa: B004 — of an instance that is called, such as HTTPBearer
    return any(inspect.iscoroutinefunction(part) or inspect.isasyncgenfunction(part) for part in parts)


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    if dependant.call is not None:
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.name)
def test_routes_and_what_they_depend_on_stay_on_the_event_loop(service: Service) -> None:
    routes = [
        route
        for router in (*service.routers, events.router, health.router)
        for route in router.routes
        if isinstance(route, APIRoute)
    ]
    assert routes
    plain = {
        f"{call.__module__}.{call.__qualname__}"
        for route in routes
        for call in _calls(route.dependant)
        if not _waits(call)
    }
    assert plain == set()
