"""An account service's store on a database of its own, and a clock that stands still."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from services.account.entities import Entity
from shared.contracts.account import CONTRACT
from shared.contracts.event import Event
from shared.eventstore.commands import CommandContext, Commands, Outcome, Work
from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.kit.clock import FixedClock
from shared.kit.ids import new_id

NOW = datetime(2017, 3, 31, 1, 0, tzinfo=UTC)

Act = Callable[[Work], Awaitable[str]]


class Office:
    """Somebody at work: carries out commands on a store, and reads what came of it."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.commands = Commands(store, b"secret", FixedClock(NOW))

    async def run(self, act: Act, *, at: datetime | None = None, **context: Any) -> Outcome:
        ctx = CommandContext("tester", NOW, new_id(), occurred_at=at, **context)

        async def decide(work: Work) -> dict[str, Any]:
            return {"id": await act(work)}

        return await self.commands.run(ctx, {}, decide)

    async def do(self, act: Act, *, at: datetime | None = None) -> str:
        """The id that the command answered."""
        return str((await self.run(act, at=at)).answer["id"])

    async def events(self, entity: Entity[Any], entity_id: str) -> list[Event]:
        return [recorded.event for recorded in await self.store.load(entity.aggregate.stream_id(entity_id))]


@pytest_asyncio.fixture(loop_scope="session")
async def account_store(database: str) -> AsyncIterator[EventStore]:
    await migrate_store(database)
    store = await EventStore.open(database, CONTRACT)
    yield store
    await store.close()


@pytest.fixture
def office(account_store: EventStore) -> Office:
    return Office(account_store)
