"""Events, their stable names and versions, and the envelope that carries them.

An event class is defined once, in the package of the service that owns it, under an explicit name and version::

    CONTRACT = Contract("opportunity")

    @CONTRACT.event("opportunity.stage_completed", 1)
    class StageCompleted(Event):
        '''The customer's commitment was given: the stage is over (R1).'''
        stage: int
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict

JsonObject = dict[str, Any]
Upcaster = Callable[[JsonObject], JsonObject]


class UnknownEventTypeError(LookupError):
    """No class of the contract has this name: the event is not for us, and is skipped."""


class NewerEventVersionError(LookupError):
    """The name is known, this version is not yet: the code must be upgraded before it reads on."""


class Event(BaseModel):
    """A fact in the past tense. Frozen; unknown fields are refused, so that a misspelt one cannot vanish.

    `stream`: the category of the streams that it belongs to; None: its contract does not say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type_name: ClassVar[str]
    type_version: ClassVar[int]
    stream: ClassVar[str | None] = None


E = TypeVar("E", bound=Event)
AnyEvent = TypeVar("AnyEvent", bound=Event, covariant=True)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event as stored and sent: the facts about the fact, and its data still as JSON bytes."""

    position: int
    event_id: uuid.UUID
    stream_id: str
    version: int
    type_name: str
    type_version: int
    data: bytes
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    correlation_id: uuid.UUID
    causation_id: uuid.UUID | None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded(Generic[AnyEvent]):
    """An event together with where, when and by whom it was recorded.

    `position` is dense and in commit order over the whole store; `version` counts 1…n within the stream;
    `occurred_at` is when it was so in business, `recorded_at` when we learned it (both UTC).
    """

    position: int
    event_id: uuid.UUID
    stream_id: str
    version: int
    event: AnyEvent
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    correlation_id: uuid.UUID
    causation_id: uuid.UUID | None
    traceparent: str | None = None

    @property
    def entity_id(self) -> str:
        """What the stream is about: `opportunity-<id>` → `<id>`."""
        return entity_of(self.stream_id)


def stream_of(category: str, entity_id: object) -> str:
    """The stream id of an entity: `<category>-<id>`. A category has no dash."""
    return f"{category}-{entity_id}"


def entity_of(stream_id: str) -> str:
    return stream_id.split("-", 1)[1]


class Contract:
    """All event types that one service publishes, with the upcasters of their older versions. `stream`: the category of the
    streams of all events that do not name another."""

    def __init__(self, service: str, *, stream: str | None = None) -> None:
        self.service = service
        self.stream = stream
        self.topic = f"keyfold.{service}.events"
        self.events: dict[str, type[Event]] = {}
        self.upcasters: dict[tuple[str, int], Upcaster] = {}

    def event(self, name: str, version: int = 1, *, stream: str | None = None) -> Callable[[type[E]], type[E]]:
        """Register the current version of an event type under its stable name. A stream of another category refuses it."""
        if not name.startswith(f"{self.service}."):
            raise ValueError(f"{name!r} must begin with the name of its owner, {self.service!r}")

        def register(cls: type[E]) -> type[E]:
            if name in self.events:
                raise ValueError(f"{name!r} is registered twice")
            cls.type_name, cls.type_version = name, version
            cls.stream = stream or self.stream
            self.events[name] = cls
            return cls

        return register

    def upcast(self, name: str, from_version: int) -> Callable[[Upcaster], Upcaster]:
        """Register the function that turns data of `from_version` into data of the next version."""

        def register(function: Upcaster) -> Upcaster:
            self.upcasters[name, from_version] = function
            return function

        return register

    def decode(self, type_name: str, type_version: int, data: bytes | str) -> Event:
        """Data of any version ever published → an event of today's class.

        Raises UnknownEventTypeError, NewerEventVersionError, or pydantic.ValidationError for data that do not fit.
        """
        cls = self.events.get(type_name)
        if cls is None:
            raise UnknownEventTypeError(type_name)
        if type_version > cls.type_version:
            raise NewerEventVersionError(f"{type_name} v{type_version}; this code knows up to v{cls.type_version}")
        if type_version == cls.type_version:
            return cls.model_validate_json(data)
        fields = orjson.loads(data)
        for version in range(type_version, cls.type_version):
            fields = self.upcasters[type_name, version](fields)
        return cls.model_validate(fields)

    def open(self, envelope: Envelope) -> Recorded[Event]:
        """Decode an envelope's data. Errors as `decode`."""
        return Recorded(
            envelope.position,
            envelope.event_id,
            envelope.stream_id,
            envelope.version,
            self.decode(envelope.type_name, envelope.type_version, envelope.data),
            envelope.occurred_at,
            envelope.recorded_at,
            envelope.actor,
            envelope.correlation_id,
            envelope.causation_id,
            envelope.traceparent,
        )


def encode(event: Event) -> bytes:
    """An event's data as JSON bytes. Fields that are None are left out: absent and unknown are the same fact."""
    return event.__pydantic_serializer__.to_json(
        event, exclude_none=True
    )  # `model_dump_json` without the way through str
