"""What a service is made of. Its `app.py` says so on one screen; processes are composed from it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.event import Contract, Event
from shared.eventstore.commands import Commands
from shared.kit.clock import Clock
from shared.projections.definition import Projection
from shared.projections.reactors import Reactor
from shared.scheduler.worker import DueRule
from shared.service.visibility import Find, nobody

Seed = Callable[[Commands, Clock], Awaitable[None]]
Prepare = Callable[[AsyncEngine], Awaitable[None]]
Stop = Callable[[AsyncEngine], Awaitable[None]]
DueRules = Callable[[Commands, AsyncEngine], Sequence[DueRule]]


@dataclass(frozen=True, slots=True)
class ReadGauge:
    """A figure of the service's own, told by a read model: `read` asks for its value on a connection to `projection`."""

    name: str
    about: str
    projection: Projection
    read: Callable[[AsyncConnection], Awaitable[float]]


def no_rules(_: Commands, __: AsyncEngine) -> Sequence[DueRule]:
    return ()


@dataclass(frozen=True)
class Service:
    """`find` tells whose records a login may see, from the read models `found_in`. `seed` issues the commands that every
    installation begins with; it runs at each migration, so they have fixed command ids. `prepare` makes tables that are neither
    facts nor read models, where they are missing. `stop` ends what the service began beside requests, on the same engine, before
    its connections are given back. `files_in`: events that name an attached file by `sha256` and `size`. `gauges` are read
    whenever figures are asked for."""

    name: str
    title: str
    description: str
    contract: Contract
    projections: tuple[Projection, ...]
    routers: tuple[APIRouter, ...]
    find: Find = nobody
    found_in: tuple[Projection, ...] = ()
    reactors: tuple[Reactor, ...] = ()
    due_rules: DueRules = no_rules
    seed: Seed | None = None
    prepare: Prepare | None = None
    stop: Stop | None = None
    files_in: tuple[type[Event], ...] = ()
    gauges: tuple[ReadGauge, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)  # of routes: what each is about

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic that this service reads, and its own."""
        readers: list[Projection | Reactor] = [*self.projections, *self.reactors]
        read = [source.topic for reader in readers for source in reader.sources]
        return tuple(dict.fromkeys([self.contract.topic, *read]))
