"""Reactors: a foreign event becomes a command. They act at least once, with one effect.

A command's id is reactor / event id / ordinal, so an event that is delivered again finds its commands on record. A refusal by
the business is an outcome, written down; it is not poison. Whatever else a handler raises parks the stream of the event.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.event import Contract, Envelope, Event, Recorded
from shared.contracts.refusal import RefusedError
from shared.eventstore.commands import CommandContext, Commands, Decide, Outcome
from shared.eventstore.types import AppendsRefusedError, JsonObject, StoreBusyError, VersionConflictError
from shared.kit.figures import Figures
from shared.kit.tracing import OFF, Span, SpanKind, Tracing
from shared.projections import checkpoints, tables
from shared.projections.checkpoints import Move
from shared.projections.definition import Row
from shared.projections.follower import Delivery, TryAgainError, check_version, split
from shared.projections.parking import Parking
from shared.projections.spans import about, traced

AT_ONCE = 50  # events acted on before the checkpoint moves


@dataclass(slots=True)
class Reaction:
    """Handed to a handler, to issue commands with: caused by the event, so of its business time and its correlation."""

    reactor: str
    event: Recorded[Any]
    commands: Commands
    traceparent: str | None = None  # of what acts; that of the event, where no span was made
    _ordinal: int = 0

    def context(self) -> CommandContext:
        """Of the next command."""
        self._ordinal += 1
        return CommandContext(
            actor=f"reactor/{self.reactor}",
            now=self.commands.now(),
            correlation_id=self.event.correlation_id,
            causation_id=self.event.event_id,
            traceparent=self.traceparent or self.event.traceparent,
            command_id=f"{self.reactor}/{self.event.event_id}/{self._ordinal}",
            occurred_at=self.event.occurred_at,
        )

    async def run(self, input: JsonObject, decide: Decide) -> Outcome:  # noqa: A002
        """Issue the next command. Let what it raises pass: RefusedError becomes the outcome of the reaction."""
        return await self.commands.run(self.context(), input, decide)


ReactionHandler = Callable[[Reaction, Recorded[Any]], Awaitable[None]]


class Reactor:
    """What a service does when something happened, in its own house or another::

    @handover.on(PersonLeft)
    async def person_left(reaction: Reaction, e: Recorded[PersonLeft]) -> None:
        await reaction.run({"person": e.entity_id}, hand_over(e.entity_id))

    A handler may be called again for an event; it must then issue the same commands in the same order. Its first event is the
    first of the log: it acts on the whole history.
    """

    def __init__(self, name: str, *, sources: Sequence[Contract]) -> None:
        self.name = name
        self.sources = tuple(sources)
        self.handlers: dict[type[Event], ReactionHandler] = {}

    def on(self, *events: type[Event]) -> Callable[[ReactionHandler], ReactionHandler]:
        def register(handler: ReactionHandler) -> ReactionHandler:
            for event in events:
                if event in self.handlers:
                    raise ValueError(f"{self.name}: {event.__name__} is handled twice")
                self.handlers[event] = handler
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

    def __init__(
        self,
        engine: AsyncEngine,
        reactor: Reactor,
        commands: Commands,
        figures: Figures | None = None,
        tracing: Tracing = OFF,
    ) -> None:
        self._tracing = tracing
        self._reactions = (figures or Figures()).counter(
            "keyfold_reactions", "Events that a reactor acted on: done, refused (by the business), busy (again).",
            "reactor", "outcome",
        )  # fmt: skip
        self._engine = engine
        self._reactor = reactor
        self._commands = commands
        self.name = f"reactor:{reactor.name}"
        self.topics = tuple(source.topic for source in reactor.sources)
        self._parking = Parking(engine, self.name, self.generation)

    async def begin(self, connection: AsyncConnection) -> None:
        await self._parking.load(connection)

    def admit(self, envelope: Envelope) -> bool:
        found = self._reactor.event_class(envelope.type_name)
        if found is None:
            return False
        check_version(envelope, found[1])
        return True

    async def apply(self, deliveries: Sequence[Delivery], moves: Sequence[Move]) -> None:
        while len(deliveries) > AT_ONCE:
            first, deliveries = deliveries[:AT_ONCE], deliveries[AT_ONCE:]
            halfway, moves = split(moves, first, deliveries)
            await self._parking.apply(self._take, first, halfway)
        await self._parking.apply(self._take, deliveries, moves)

    async def _take(self, deliveries: Sequence[Delivery], moves: Sequence[Move]) -> None:
        async with self._engine.begin() as connection:
            # The checkpoint is locked before anything is done: a worker that lost the partition does nothing.
            await checkpoints.move(connection, self.name, self.generation, moves)
            due, queued = await self._parking.divide(connection, deliveries)
            await self.react(connection, [one.envelope for one in due])
            await self._parking.queue(connection, queued)

    async def react(self, connection: AsyncConnection, envelopes: Sequence[Envelope]) -> None:
        """Act on those that have no outcome on record, and record it. Raises TryAgainError, or what a handler raised."""
        known = await connection.execute(
            select(tables.reaction.c.event_id).where(
                tables.reaction.c.reactor == self._reactor.name,
                tables.reaction.c.event_id.in_([str(envelope.event_id) for envelope in envelopes]),
            )
        )
        on_record = set(known.scalars())
        due = [envelope for envelope in envelopes if str(envelope.event_id) not in on_record]
        outcomes = [await self._act(envelope) for envelope in due]
        if outcomes:
            await connection.execute(insert(tables.reaction), outcomes)

    def _span(self, contract: Contract, envelope: Envelope) -> AbstractContextManager[Span | None]:
        if not traced(self._tracing, envelope):
            return nullcontext()
        attributes = about(self.name, contract.topic, envelope)
        return self._tracing.within(
            f"react {self._reactor.name}", envelope.traceparent, attributes, SpanKind.CONSUMER, RefusedError
        )

    async def _act(self, envelope: Envelope) -> Row:
        outcome, detail = "done", None
        contract, event_class = self._reactor.event_class(envelope.type_name) or (None, None)
        if contract is not None and event_class is not None:
            event = contract.open(envelope)
            try:
                with self._span(contract, envelope) as span:
                    traceparent = None if span is None else span.traceparent
                    reaction = Reaction(self._reactor.name, event, self._commands, traceparent)
                    await self._reactor.handlers[event_class](reaction, event)
            except RefusedError as refusal:
                outcome, detail = "refused", str(refusal)
            except (AppendsRefusedError, StoreBusyError, VersionConflictError) as busy:
                self._reactions.labels(self._reactor.name, "busy").inc()
                raise TryAgainError(f"{type(busy).__name__}: {busy}") from busy
        self._reactions.labels(self._reactor.name, outcome).inc()
        return {
            "reactor": self._reactor.name,
            "event_id": str(envelope.event_id),
            "outcome": outcome,
            "detail": detail,
        }
