"""One opportunity: as it was at a moment, as known at a moment, and everything that was ever said about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import RowMapping, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.domain.anomalies.opportunity import Stretch
from services.opportunity.domain.opportunity.page import Position, position
from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from services.opportunity.domain.process import SalesProcess
from services.opportunity.projections.processes import definition
from services.opportunity.projections.spans import in_business_time, recorded
from services.opportunity.projections.timeline import fact, span
from services.opportunity.queries.moment import holds
from shared.contracts.event import Recorded
from shared.contracts.opportunity import ProcessDefined
from shared.projections.reads import NotYetVisibleError

HistoryOrder = Literal["recorded", "occurred"]


@dataclass(frozen=True, slots=True)
class OpportunityPage:
    """`version`: of the last fact that counts at this moment; `updated_at`: when the latest of them became known. `history`: how
    it was from moment to moment, up to `state`."""

    state: OpportunityState
    process: SalesProcess
    position: Position
    version: int
    updated_at: datetime
    history: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose an opportunity is now: who may see it."""

    owner_id: str | None
    team_id: str | None


async def holder(connection: AsyncConnection, opportunity_id: str) -> Holder | None:
    """None: there is no such opportunity."""
    statement = select(span.c.owner_id, span.c.team_id).where(
        span.c.opportunity_id == opportunity_id, holds(span, None, None)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else Holder(row.owner_id, row.team_id)


async def page(
    connection: AsyncConnection, opportunity_id: str, as_of: datetime | None = None, known_at: datetime | None = None
) -> OpportunityPage | None:
    """Folded from its facts up to both moments; None when there was nothing of it then.

    Raises NotYetVisibleError while the definition of its process has not been folded.
    """
    statement = select(fact).where(*_within(opportunity_id, as_of, known_at))
    rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
    state, history = INITIAL, dict[datetime, Stretch]()
    for row in in_business_time(rows):
        state = evolve(state, recorded(row))
        if state.exists:
            history[row["occurred_at"]] = Stretch(row["occurred_at"], state)
    if not state.exists:
        return None
    process = await process_of(connection, state.process, state.process_version)
    last = max(row["version"] for row in rows)
    known = max(row["recorded_at"] for row in rows)
    return OpportunityPage(state, process, position(state, process), last, known, tuple(history.values()))


async def process_of(connection: AsyncConnection, key: str, version: int) -> SalesProcess:
    """Raises NotYetVisibleError: an opportunity cannot have been opened under a process that was not defined before."""
    statement = select(definition.c.process).where(definition.c.key == key, definition.c.version == version)
    found = await connection.scalar(statement)
    if found is None:
        raise NotYetVisibleError(f"version {version} of the sales process {key} is not visible here yet")
    return ProcessDefined.model_validate(found)


async def history(
    connection: AsyncConnection,
    opportunity_id: str,
    *,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
    order: HistoryOrder = "recorded",
    descending: bool = True,
    limit: int = 100,
    after: tuple[datetime, int] | None = None,
) -> Sequence[Recorded[Any]]:
    """The facts up to both moments, by when they became known (the order of versions) or by when they were so.

    `after`: (occurred_at, version) of the last fact of the page before.
    """
    statement = select(fact).where(*_within(opportunity_id, as_of, known_at))
    columns = [fact.c.version] if order == "recorded" else [fact.c.occurred_at, fact.c.version]
    statement = statement.order_by(*(column.desc() if descending else column.asc() for column in columns)).limit(limit)
    if after is not None:
        row, bound = tuple_(*columns), tuple_(*(after[1:] if order == "recorded" else after))
        statement = statement.where(row < bound if descending else row > bound)
    return [_fact(row) for row in (await connection.execute(statement)).mappings()]


def _within(opportunity_id: str, as_of: datetime | None, known_at: datetime | None) -> list[Any]:
    conditions = [fact.c.opportunity_id == opportunity_id]
    if as_of is not None:
        conditions.append(fact.c.occurred_at <= as_of)
    if known_at is not None:
        conditions.append(fact.c.recorded_at <= known_at)
    return conditions


def _fact(row: RowMapping) -> Recorded[Any]:
    return recorded(dict(row))
