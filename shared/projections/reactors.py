"""Reactors: a foreign event becomes a command. They act at least once, with one effect.

A command's id is reactor / event id / ordinal, so an event that is delivered again finds its commands on record. A refusal by
the business is an outcome, written down; it is not poison.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.event import Contract, Envelope, Event, Recorded
from shared.contracts.refusal import RefusedError
from shared.eventstore.commands import CommandContext
from shared.projections import checkpoints, tables
from shared.projections.checkpoints import Move
from shared.projections.folding import transient
from shared.projections.follower import Delivery, StopPartitionError

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Reaction:
    """Handed to a handler: makes the context of each command it issues."""

    reactor: str
    event: Recorded[Any]
    _ordinal: int = 0

    def context(self) -> CommandContext:
        """For the next command: caused by the event, so of its business time and its correlation."""
        self._ordinal += 1
        return CommandContext(
            actor=f"reactor/{self.reactor}",
            now=datetime.now(UTC),
            correlation_id=self.event.correlation_id,
            causation_id=self.event.event_id,
            traceparent=self.event.traceparent,
            command_id=f"{self.reactor}/{self.event.event_id}/{self._ordinal}",
            occurred_at=self.event.occurred_at,
        )


ReactionHandler = Callable[[Reaction, Recorded[Any]], Awaitable[None]]


class Reactor:
    """What a service does when something happened, in its own house or another::

    @handover.on(PersonLeft)
    async def person_left(reaction: Reaction, e: Recorded[PersonLeft]) -> None: ...
    """

    def __init__(self, name: str, *, sources: Sequence[Contract]) -> None:
        self.name = name
        self.sources = tuple(sources)
        self.handlers: dict[type[Event], ReactionHandler] = {}

    def on(self, *events: type[Event]) -> Callable[[ReactionHandler], ReactionHandler]:
        def register(handler: ReactionHandler) -> ReactionHandler:
            self.handlers.update(dict.fromkeys(events, handler))
            return handler

        return register

    def event_class(self, type_name: str) -> tuple[Contract, type[Event]] | None:
        for source in self.sources:
            if (event := source.events.get(type_name)) in self.handlers and event is not None:
                return source, event
        return None


class ReactSink:
    """Lets a reactor act on each event in turn; the checkpoint moves when it has acted."""

    generation = 0  # reactors have no generations: what they did stays done

    def __init__(self, engine: AsyncEngine, reactor: Reactor) -> None:
        self._engine = engine
        self._reactor = reactor
        self.name = f"reactor:{reactor.name}"
        self.topics = tuple(source.topic for source in reactor.sources)

    async def begin(self, connection: AsyncConnection) -> None:
        """Nothing is kept in memory."""

    def admit(self, envelope: Envelope) -> bool:
        found = self._reactor.event_class(envelope.type_name)
        if found is None:
            return False
        if envelope.type_version > found[1].type_version:
            raise StopPartitionError(
                "newer_version", f"{envelope.type_name} v{envelope.type_version}: upgrade this worker"
            )
        return True

    async def apply(self, deliveries: Sequence[Delivery], moves: Sequence[Move]) -> None:
        outcomes = [await self._act(one.envelope) for one in deliveries]
        async with self._engine.begin() as connection:
            await checkpoints.move(connection, self.name, self.generation, moves)
            if outcomes:
                await connection.execute(insert(tables.reaction).on_conflict_do_nothing(), outcomes)

    async def _act(self, envelope: Envelope) -> dict[str, str | None]:
        outcome, detail = "done", None
        try:
            found = self._reactor.event_class(envelope.type_name)
            if found is not None:
                event = found[0].open(envelope)
                await self._reactor.handlers[found[1]](Reaction(self._reactor.name, event), event)
        except RefusedError as refusal:
            outcome, detail = "refused", str(refusal)
        except Exception as error:
            if transient(error):
                raise
            # Nobody's command can wait for this one: say so where operations look, and go on.
            log.exception("reaction failed", reactor=self._reactor.name, event=str(envelope.event_id))
            outcome, detail = "failed", f"{type(error).__name__}: {error}"[:4_000]
        return {
            "reactor": self._reactor.name,
            "event_id": str(envelope.event_id),
            "outcome": outcome,
            "detail": detail,
        }
