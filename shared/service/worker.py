"""The worker of a service: publishes its events, folds its read models, lets its reactors and due dates act."""

import asyncio
from collections.abc import Awaitable

from shared.projections.reactors import ReactSink
from shared.projections.runner import Runner
from shared.relay.relay import Relay
from shared.scheduler.worker import Scheduler
from shared.service.backend import Backend


class Worker:
    """`worker_id` must be unique among living workers of the service."""

    def __init__(self, backend: Backend, worker_id: str) -> None:
        service = backend.service
        self.relay = Relay(backend.dsn, backend.store, backend.log, service.contract)
        acting = [ReactSink(backend.engine, reactor, backend.commands) for reactor in service.reactors]
        self._runner = Runner(backend.engine, backend.log, service.projections, worker_id, backend.bell, acting)
        rules = service.due_rules(backend.commands)
        self._scheduler = Scheduler(backend.engine, rules, backend.clock) if rules else None

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises RelayRefusedError when publishing would break a promise: then nothing of it goes on."""
        parts: list[Awaitable[None]] = [self.relay.run(stop), self._runner.run(stop)]
        if self._scheduler is not None:
            parts.append(self._scheduler.run(stop))
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(_run(part))


async def _run(part: Awaitable[None]) -> None:
    await part
