"""What a process of a service has open: its store, its read models, the log."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from shared.eventstore.commands import Commands
from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.files.port import Files
from shared.kit.calendar import BusinessCalendar
from shared.kit.clock import Clock, SystemClock
from shared.kit.figures import Figures
from shared.kit.tracing import OFF, Tracing
from shared.log.port import Log
from shared.projections.bell import Bell
from shared.projections.generations import ensure_live
from shared.projections.reads import ReadModels
from shared.projections.tables import migrate_projections
from shared.relay.agreement import Agreement
from shared.scheduler.due import migrate_scheduler
from shared.service.api_keys import ApiKeys
from shared.service.definition import Service
from shared.service.key_uses import KeyUses, migrate_key_uses
from shared.service.visibility import Scopes


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections to its database a process of a service opens at most.

    `store`: the appender keeps one while there is work, the others load streams and look up commands. `reads`: one for each
    request that reads at the same moment; in a worker, one for the heartbeat and the others for batches that are folded.
    """

    store: int
    reads: int


API = Connections(store=4, reads=4)  # 8 in all: what a request needs takes milliseconds, the others queue
WORKER = Connections(store=2, reads=3)  # 6 with the relay's own; 7 with the scheduler's, where there are due dates
EMBEDDED = Connections(store=4, reads=6)  # both in one process: 11 with the relay's, 12 with the scheduler's

LARGEST_FILE = 50 * 1024 * 1024
CONNECT_SECONDS = 5.0  # a server that does not answer by then is away
QUEUE_SECONDS = 5.0  # longer than that for a connection of the pool: the caller is told to come back
SESSION = {"statement_timeout": "30s", "idle_in_transaction_session_timeout": "60s", "jit": "off"}


class Answered:
    """When the database last answered this process: a connection was made, or a statement carried out."""

    def __init__(self) -> None:
        self._at: float | None = None

    def listen(self, engine: AsyncEngine) -> None:
        event.listen(engine.sync_engine, "connect", self.note)
        event.listen(engine.sync_engine, "after_cursor_execute", self.note)

    def note(self, *_: object) -> None:
        self._at = time.monotonic()

    def within(self, seconds: float) -> bool:
        return self._at is not None and time.monotonic() - self._at <= seconds


@dataclass(frozen=True)
class Backend:
    """`dsn`: the service's database, in asyncpg's form. `files`: where attached files are kept, each of at most `largest_file`
    bytes; None in a process that keeps none."""

    service: Service
    dsn: str
    store: EventStore
    commands: Commands
    engine: AsyncEngine
    reads: ReadModels
    scopes: Scopes
    api_keys: ApiKeys
    key_uses: KeyUses
    bell: Bell
    log: Log
    calendar: BusinessCalendar
    clock: Clock
    figures: Figures
    tracing: Tracing = OFF
    files: Files | None = None
    largest_file: int = LARGEST_FILE
    answered: Answered = field(default_factory=Answered)


@asynccontextmanager
async def open_backend(
    service: Service,
    dsn: str,
    log: Log,
    secret: bytes,
    calendar: BusinessCalendar,
    *,
    clock: Clock | None = None,
    store_connections: int = API.store,
    read_connections: int = API.reads,
    queue_seconds: float = QUEUE_SECONDS,
    files: Files | None = None,
    largest_file: int = LARGEST_FILE,
    tracing: Tracing = OFF,
) -> AsyncIterator[Backend]:
    """On leaving, the appender writes what waits, then the connections are given back; the log is the caller's."""
    clock = clock or SystemClock()
    figures = Figures(service.name)
    tracing.count_in(figures)
    async with AsyncExitStack() as stack:
        agreement = Agreement(dsn, log, service.contract)
        stack.push_async_callback(agreement.close)
        store = await EventStore.open(
            dsn, service.contract, max_size=store_connections, guard=agreement, figures=figures
        )
        stack.push_async_callback(store.close)
        engine = open_engine(dsn, read_connections, queue_seconds)
        stack.push_async_callback(engine.dispose)
        answered = Answered()
        answered.listen(engine)
        _count_pool(engine, read_connections, figures)
        if service.stop is not None:
            stack.push_async_callback(service.stop, engine)
        key_uses = KeyUses(engine)
        stack.push_async_callback(key_uses.close)
        bell = Bell()
        reads = ReadModels(engine, bell)
        yield Backend(
            service,
            dsn,
            store,
            Commands(store, secret, clock, tracing=tracing),
            engine,
            reads,
            Scopes(reads, service.find, service.found_in),
            ApiKeys(reads, service.projections),
            key_uses,
            bell,
            log,
            calendar,
            clock,
            figures,
            tracing,
            files,
            largest_file,
            answered,
        )


def open_engine(dsn: str, connections: int, queue_seconds: float = QUEUE_SECONDS) -> AsyncEngine:
    """For read models; JIT off, because it costs more than any of these queries takes. Parameters are people's data: no error
    shows them.
    """
    return create_async_engine(
        make_url(dsn).set(drivername="postgresql+asyncpg"),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=queue_seconds,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "server_settings": SESSION | {"application_name": "keyfold-reads"},
        },
    )


def _count_pool(engine: AsyncEngine, most: int, figures: Figures) -> None:
    pool = engine.pool
    if isinstance(pool, QueuePool):
        used = figures.gauge("keyfold_pool_connections_in_use", "Connections taken from a pool.", "pool")
        used.labels("reads").set_function(pool.checkedout)
    limit = figures.gauge("keyfold_pool_connections_limit", "Connections that a pool opens at most.", "pool")
    limit.labels("reads").set(most)


async def migrate_service(service: Service, dsn: str, log: Log, secret: bytes, calendar: BusinessCalendar) -> None:
    """Bring database, topics, read models and seed of a service up to date; nothing to do when all is there."""
    await migrate_store(dsn)
    async with open_backend(service, dsn, log, secret, calendar, store_connections=2, read_connections=2) as backend:
        await migrate_projections(backend.engine)
        await migrate_scheduler(backend.engine)
        await migrate_key_uses(backend.engine)
        if service.prepare is not None:
            await service.prepare(backend.engine)
        for topic in service.topics:
            await log.create_topic(topic)
        for projection in service.projections:
            await ensure_live(backend.engine, projection)
        if service.seed is not None:
            await service.seed(backend.commands, backend.clock)
