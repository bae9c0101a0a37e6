"""Record-level visibility: whose records somebody may see."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.projections.definition import Projection
from shared.projections.reads import ReadModels
from shared.service.remembered import Remembered


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
        self._kept: Remembered[Scope] = Remembered()

    async def of(self, subject: str, now: datetime, token: str | None = None) -> Scope:
        """With a position `token`, what it names is seen: the read models are waited for, nothing remembered is used.

        Raises NotBuiltError while the read models have no generation, BadTokenError, NotYetVisibleError.
        """
        if token:
            await self._reads.wait_for(token, self._found_in)
            return await self._kept.anew(subject, lambda: self._look(subject, now))
        return await self._kept.of(subject, lambda: self._look(subject, now))

    async def _look(self, subject: str, now: datetime) -> Scope:
        async with self._reads.connect(*self._found_in) as connection:
            return await self._find(connection, subject, now)
