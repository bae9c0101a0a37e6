"""The invented company in two real stores."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date
from typing import Any
from uuid import uuid4

import pytest_asyncio

from services.demo.load import DemoResult, Progress, load_demo
from services.imports.run import Services
from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from shared.contracts import account, opportunity
from shared.contracts.event import Contract, Recorded
from shared.eventstore.commands import Commands
from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.kit.calendar import BusinessCalendar
from shared.kit.clock import FixedClock
from shared.testing.servers import Databases

TODAY = date(2026, 3, 31)
CALENDAR = BusinessCalendar()


@dataclass
class Installation:
    accounts: EventStore
    opportunities: EventStore

    async def load(self, today: date = TODAY, progress: Progress = lambda done, total: None) -> DemoResult:
        """As if it were the very first moment of the day."""
        clock = FixedClock(CALENDAR.start_of_day(today).astimezone(UTC))
        services = Services(Commands(self.accounts, b"secret", clock), Commands(self.opportunities, b"secret", clock))
        return await load_demo(services, CALENDAR, today, progress)

    async def facts(self, store: EventStore) -> list[Recorded[Any]]:
        return [store.contract.open(envelope) for envelope in await store.envelopes(0, 100_000)]

    async def states(self) -> dict[str, OpportunityState]:
        """Key of the story → how the opportunity is now."""
        states: dict[str, OpportunityState] = {}
        for fact in await self.facts(self.opportunities):
            if fact.stream_id.startswith("opportunity-"):
                states[fact.stream_id] = evolve(states.get(fact.stream_id, INITIAL), fact)
        return {state.external_ids["demo"]: state for state in states.values()}


async def installation(databases: Databases) -> Installation:
    """A fresh one."""

    async def store(contract: Contract) -> EventStore:
        dsn = await databases(f"{contract.service} {uuid4()}")
        await migrate_store(dsn)
        return await EventStore.open(dsn, contract)

    return Installation(await store(account.CONTRACT), await store(opportunity.CONTRACT))


@pytest_asyncio.fixture(loop_scope="session")
async def fresh(databases: Databases) -> AsyncIterator[Installation]:
    made = await installation(databases)
    yield made
    await made.accounts.close()
    await made.opportunities.close()


@pytest_asyncio.fixture(loop_scope="session")
async def other(databases: Databases) -> AsyncIterator[Installation]:
    made = await installation(databases)
    yield made
    await made.accounts.close()
    await made.opportunities.close()
