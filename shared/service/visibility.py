"""Record-level visibility: whose records somebody may see."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.projections.definition import Projection
from shared.projections.reads import ReadModels

FRESH_SECONDS = 1.0
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Either everything, or the records that one of these people owns or one of these teams has (ids).

    `person_id`: who the login is, if a person of ours.
    """

    everything: bool
    people: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()
    person_id: str | None = None

    def covers(self, owner_id: str | None, team_id: str | None) -> bool:
        return self.everything or owner_id in self.people or team_id in self.teams


EVERYTHING = Scope(True)
NOTHING = Scope(False)

Find = Callable[[AsyncConnection, str, datetime], Awaitable[Scope]]
"""(connection, subject of the token, now) → the scope that teams and their managers give; NOTHING for a stranger."""


async def nobody(_connection: AsyncConnection, _subject: str, _now: datetime) -> Scope:
    """Of a service that knows nobody: its records are for the roles that see everything."""
    return NOTHING


class Scopes:
    """Scopes of logins, remembered for a second: every command asks, teams change once a month."""

    def __init__(self, reads: ReadModels, find: Find, found_in: tuple[Projection, ...]) -> None:
        self._reads = reads
        self._find = find
        self._found_in = found_in
        self._kept: dict[str, tuple[float, Scope]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def of(self, subject: str, now: datetime, token: str | None = None) -> Scope:
        """With a position `token`, what it names is seen: the read models are waited for, nothing remembered is used.

        Raises NotBuiltError while the read models have no generation, BadTokenError, NotYetVisibleError.
        """
        if token:
            await self._reads.wait_for(token, self._found_in)
            return await self._look(subject, now)
        kept = self._fresh(subject)
        if kept is not None:
            return kept
        turn = self._turns.get(subject)
        if turn is None:
            turn = self._turns[subject] = asyncio.Lock()
        async with turn:  # one looks, the others who came meanwhile take what was found
            return self._fresh(subject) or await self._look(subject, now)

    def _fresh(self, subject: str) -> Scope | None:
        kept = self._kept.get(subject)
        return kept[1] if kept is not None and kept[0] > time.monotonic() else None

    async def _look(self, subject: str, now: datetime) -> Scope:
        until = time.monotonic() + FRESH_SECONDS  # from before the look: what changes while it goes on may be missed
        async with self._reads.connect(*self._found_in) as connection:
            scope = await self._find(connection, subject, now)
        if len(self._kept) >= MOST:
            self._kept.clear()
        self._kept[subject] = (until, scope)
        return scope
