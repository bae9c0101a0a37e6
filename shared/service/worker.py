"""The worker of a service: publishes its events, folds its read models, lets its reactors and due dates act."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from shared.projections.parking import transient
from shared.projections.reactors import ReactSink
from shared.projections.runner import Runner
from shared.relay.checks import RelayRefusedError
from shared.relay.relay import Relay
from shared.scheduler.worker import Scheduler
from shared.service.backend import Backend

STOP_SECONDS = 8.0  # a batch that has begun is finished; what hangs on a server that is away is cut off
log = structlog.get_logger(__name__)


class Worker:
    """`worker_id` must be unique among living workers of the service."""

    def __init__(self, backend: Backend, worker_id: str, *, stop_seconds: float = STOP_SECONDS) -> None:
        service = backend.service
        self.backend = backend
        self.relay = Relay(
            backend.dsn, backend.store, backend.log, service.contract, figures=backend.figures, tracing=backend.tracing
        )
        acting = [
            ReactSink(backend.engine, reactor, backend.commands, backend.figures, backend.tracing)
            for reactor in service.reactors
        ]
        self._runner = Runner(
            backend.engine,
            backend.log,
            service.projections,
            worker_id,
            backend.bell,
            acting,
            backend.figures,
            backend.tracing,
        )
        rules = service.due_rules(backend.commands, backend.engine)
        self._scheduler = (
            Scheduler(backend.engine, rules, backend.clock, backend.figures, backend.tracing) if rules else None
        )
        self._stop_seconds = stop_seconds

    @property
    def beats(self) -> bool:
        """Do the other workers know that this one lives?"""
        return self._runner.beats

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, then at most `stop_seconds` longer, also while the servers are away.

        Raises RelayRefusedError when publishing would break a promise, or the first other error that ended a part: the rest is
        ended with it. Publishing and folding wait out a server that goes away; at the start it must be there.
        """
        parts: dict[str, Coroutine[Any, Any, None]] = {"relay": self.relay.run(stop), "runner": self._runner.run(stop)}
        if self._scheduler is not None:
            parts["scheduler"] = self._scheduler.run(stop)
        tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                await asyncio.wait(tasks, timeout=self._stop_seconds)
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
        _raise_worst(tasks, stop)


def _raise_worst(tasks: Sequence[asyncio.Task[None]], stop: asyncio.Event) -> None:
    """A refusal before anything else. After `stop`, a server that is away is no error: there is nothing left to be done there."""
    for task in tasks:
        if task.cancelled() and stop.is_set():
            log.warning("cut off while stopping", part=task.get_name())
    failed = [(task.get_name(), task.exception()) for task in tasks if not task.cancelled()]
    errors = [(name, error) for name, error in failed if error is not None]
    errors.sort(key=lambda one: not isinstance(one[1], RelayRefusedError))
    serious = [(name, error) for name, error in errors if not (stop.is_set() and _passing(error))]
    for name, error in errors:
        if not serious or error is not serious[0][1]:
            log.warning("ended with an error", part=name, error=f"{type(error).__name__}: {error}")
    if serious:
        raise serious[0][1]


def _passing(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_passing(one) for one in error.exceptions)
    return transient(error)
