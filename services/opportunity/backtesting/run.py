"""Carrying out a back-test: read the histories of a service's store one by one, and tally what the rule would have done."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
from pydantic import AwareDatetime, BaseModel, ConfigDict

from services.opportunity.domain.gates.backtest import Processes, Tally, replay
from services.opportunity.domain.gates.book import GateBook, evolve_book
from services.opportunity.domain.gates.evaluate import Gates, imagined
from services.opportunity.entities import GATE_BOOK, OPPORTUNITY, PROCESS
from shared.contracts.opportunity import CONTRACT, GateDefined, GateRule, ProcessDefined
from shared.eventstore.histories import count_streams, histories
from shared.kit.calendar import BusinessCalendar

EPOCH = datetime(1, 1, 1, tzinfo=UTC)
TOLD_EVERY = 200  # opportunities
BREATHES_EVERY = 20  # opportunities, for what else is due meanwhile
SESSION = {"application_name": "keyfold-backtest", "idle_in_transaction_session_timeout": "60s", "jit": "off"}
Progress = Callable[[int, int], Awaitable[None]]
"""(done, total) opportunities."""


class Ask(BaseModel):
    """What is to be tried: the rule as it would be, over acts within [since, until); `gate` and `version` name a stored one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: GateRule
    gate: str | None = None
    version: int | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    time_zone: str
    fiscal_year_start_month: int
    week_start: int

    @classmethod
    def of(cls, rule: GateRule, calendar: BusinessCalendar, **more: Any) -> "Ask":
        return cls(
            rule=rule,
            time_zone=calendar.time_zone,
            fiscal_year_start_month=calendar.fiscal_year_start_month,
            week_start=calendar.week_start,
            **more,
        )

    @property
    def calendar(self) -> BusinessCalendar:
        return BusinessCalendar(self.time_zone, self.fiscal_year_start_month, self.week_start)


async def run(dsn: str, ask: Ask, now: datetime, progress: Progress) -> dict[str, Any]:
    """The result as JSON. What terms are standard is told by the authority matrix of `now`."""
    connection = await asyncpg.connect(dsn, server_settings=SESSION)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            processes = await _processes(connection)
            gates = Gates(_alone(ask.rule, await _book(connection)), now, ask.calendar)
            total = await count_streams(connection, OPPORTUNITY.category)
            tally = Tally()
            async for history in histories(connection, CONTRACT, OPPORTUNITY.category):
                met, state = replay(history, processes, gates, ask.since, ask.until)
                tally.add(history[0].entity_id, met, state)
                if tally.looked_at % TOLD_EVERY == 0:
                    await progress(tally.looked_at, total)
                if tally.looked_at % BREATHES_EVERY == 0:
                    await asyncio.sleep(0)
        await progress(total, total)
        return tally.told()
    finally:
        await connection.close()


async def _processes(connection: "asyncpg.Connection[Any]") -> Processes:
    defined = [
        one.event
        async for history in histories(connection, CONTRACT, PROCESS.category)
        for one in history
        if isinstance(one.event, ProcessDefined)
    ]
    return {(process.key, process.version): process for process in defined}


async def stored(dsn: str, gate: str) -> tuple[GateDefined, ...]:
    """All versions of a gate on record, in order."""
    connection = await asyncpg.connect(dsn, server_settings=SESSION)
    try:
        async with connection.transaction(readonly=True):
            return (await _book(connection)).versions(gate)
    finally:
        await connection.close()


async def _book(connection: "asyncpg.Connection[Any]") -> GateBook:
    book = GateBook()
    async for history in histories(connection, CONTRACT, GATE_BOOK.category):
        for one in history:
            book = evolve_book(book, one)
    return book


def _alone(rule: GateRule, book: GateBook) -> GateBook:
    """The rule alone, with the authority matrix that is on record."""
    tried = GateDefined(key="tried", version=1, rule=rule, effective_from=EPOCH)
    return evolve_book(GateBook(authorities=book.authorities), imagined(tried, EPOCH))
