"""An opportunity service's store on a database of its own, and a clock that stands still."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.entities import OPPORTUNITY
from shared.contracts.event import Event
from shared.contracts.opportunity import CONTRACT
from shared.eventstore.commands import CommandContext, Commands, Outcome, Work
from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.kit.clock import FixedClock
from shared.kit.ids import new_id

NOW = datetime(2017, 3, 31, 1, 0, tzinfo=UTC)

Act = Callable[[Work], Awaitable[dict[str, Any]]]


class Desk:
    """A seller at work: carries out commands on a store, and reads what came of it."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.commands = Commands(store, b"secret", FixedClock(NOW))

    async def run(self, act: Act, **context: Any) -> Outcome:
        return await self.commands.run(CommandContext("tester", NOW, new_id(), **context), {}, act)

    async def do(self, act: Act) -> str:
        """The id of the opportunity that it was about."""
        return str((await self.run(act)).answer["opportunity_id"])

    async def events(self, opportunity_id: str) -> list[Event]:
        return [recorded.event for recorded in await self.store.load(OPPORTUNITY.stream_id(opportunity_id))]

    async def state(self, opportunity_id: str) -> OpportunityState:
        state = OPPORTUNITY.initial
        for recorded in await self.store.load(OPPORTUNITY.stream_id(opportunity_id)):
            state = OPPORTUNITY.evolve(state, recorded)
        return state


@pytest_asyncio.fixture(loop_scope="session")
async def opportunity_store(database: str) -> AsyncIterator[EventStore]:
    await migrate_store(database)
    store = await EventStore.open(database, CONTRACT)
    yield store
    await store.close()


@pytest.fixture
def desk(opportunity_store: EventStore) -> Desk:
    return Desk(opportunity_store)
