"""Small invented exports in a folder, and a desk that imports them into two real stores."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.imports.mapping import Mapping, load_mapping
from services.imports.reading import read_export
from services.imports.rows import Export
from services.imports.run import Import, Result, Services
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.entities import CLAIM, OPPORTUNITY
from shared.contracts import account, opportunity
from shared.contracts.event import Recorded
from shared.eventstore.commands import CommandContext, Commands, Work
from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.kit.calendar import BusinessCalendar
from shared.kit.clock import FixedClock
from shared.kit.ids import new_id
from shared.testing.servers import Databases

NOW = datetime(2026, 3, 31, 4, 0, tzinfo=UTC)
TODAY = date(2026, 3, 31)
CALENDAR = BusinessCalendar()

FILES = {
    "accounts.csv": (
        "account,sector,year_established,revenue,employees,office_location,subsidiary_of\n"
        "Nordlicht,power,1990,10.5,800,Norway,\n"
        "Nordlicht Nord,technolgy,1999,2.5,80,Norway,Nordlicht\n"
    ),
    "products.csv": "product,series,sales_price\nPump One,P,550\nPump Two,P,1200\n",
    "sales_teams.csv": (
        "sales_agent,manager,regional_office\nAda Berg,Mona Falk,North\nOle Dahl,Mona Falk,North\nLi Wei,陈静,华东\n"
    ),
    "sales_pipeline.csv": (
        "opportunity_id,sales_agent,product,account,deal_stage,engage_date,close_date,close_value\n"
        "W1,Ada Berg,Pump One,Nordlicht,Won,1/5/2026,2/10/2026,1054\n"
        "L1,Ole Dahl,PumpTwo,Nordlicht Nord,Lost,1/7/2026,3/1/2026,0\n"
        "E1,Li Wei,Pump Two,,Engaging,2/1/2026,,\n"
        "P1,Li Wei,Pump One,Nordlicht,Prospecting,,,\n"
    ),
}


class Folder:
    """An export on disk: the four files above, until one is written anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, content: str | bytes) -> None:
        (self.path / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def deals(self, *rows: str) -> None:
        self.write("sales_pipeline.csv", "\n".join((FILES["sales_pipeline.csv"].splitlines()[0], *rows, "")))

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.path / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def read(self, mapping: Mapping | None = None, today: date = TODAY) -> Export:
        return read_export(self.path, mapping or load_mapping(), today)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    path = tmp_path / "export"
    path.mkdir()
    return Folder(path)


class Desk:
    """Imports into the stores of both services, and reads what came of it."""

    def __init__(self, accounts: EventStore, opportunities: EventStore) -> None:
        self.accounts, self.opportunities = accounts, opportunities

    async def load(
        self, folder: Folder, *, now: datetime = NOW, mapping: Mapping | None = None, **options: Any
    ) -> Result:
        mapping, clock = mapping or load_mapping(), FixedClock(now)
        services = Services(Commands(self.accounts, b"secret", clock), Commands(self.opportunities, b"secret", clock))
        export = folder.read(mapping, CALENDAR.day_of(now))
        return await Import(services, export, mapping, CALENDAR, now, **options).run()

    async def heads(self) -> tuple[int, int]:
        return await self.accounts.head(), await self.opportunities.head()

    async def state(self, external_id: str) -> OpportunityState:
        found: list[OpportunityState] = []

        async def look(work: Work) -> dict[str, Any]:
            holder = (await work.state(CLAIM, f"crm:{external_id}")).state.opportunity_id
            found.append((await work.state(OPPORTUNITY, holder, must_exist=True)).state)
            return {}

        commands = Commands(self.opportunities, b"secret", FixedClock(NOW))
        await commands.run(CommandContext("tester", NOW, new_id(), dry_run=True), {}, look)
        return found[-1]

    async def facts(self, external_id: str) -> list[Recorded[Any]]:
        """The opportunity's events in the order in which they were recorded."""
        (claim,) = await self.opportunities.load(f"opportunity_external-crm:{external_id}")
        assert isinstance(claim.event, opportunity.ExternalIdClaimed)
        return await self.opportunities.load(f"opportunity-{claim.event.opportunity_id}")

    async def account_facts(self, after: int = 0) -> list[Recorded[Any]]:
        return [account.CONTRACT.open(envelope) for envelope in await self.accounts.envelopes(after, 10_000)]


@pytest_asyncio.fixture(loop_scope="session")
async def desk(databases: Databases) -> AsyncIterator[Desk]:
    stores: list[EventStore] = []
    for name, contract in (("account", account.CONTRACT), ("opportunity", opportunity.CONTRACT)):
        dsn = await databases(name)
        await migrate_store(dsn)
        stores.append(await EventStore.open(dsn, contract))
    yield Desk(*stores)
    for store in stores:
        await store.close()


def shanghai(year: int, month: int, day: int) -> datetime:
    return CALENDAR.start_of_day(date(year, month, day))
