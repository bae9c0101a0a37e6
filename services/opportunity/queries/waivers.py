"""Waivers: lists of them, those that somebody may decide among them.

Whoever asked for a waiver goes on seeing it. The opportunity that it was for may have been handed over since: what became of it
shows only to those who see the opportunity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, Select, and_, case, false, func, literal, not_, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.projections.gate_effects import waiver
from services.opportunity.projections.timeline import span
from services.opportunity.queries.moment import CLOSED, holds
from shared.service.visibility import Scope


@dataclass(frozen=True, slots=True)
class WaiverFilters:
    """Every field narrows; empty ones do not. Asked for within [`since`, `until`). `decidable`: those that wait for a decision
    which the reader may give."""

    status: tuple[str, ...] = ()
    gate: tuple[str, ...] = ()
    gate_version: int | None = None
    opportunity: tuple[str, ...] = ()
    requested_by: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    decidable: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: a login, and what that may see."""

    subject: str
    scope: Scope


SOURCE = waiver.join(span, and_(span.c.opportunity_id == waiver.c.opportunity_id, holds(span, None, None)))


def status(now: datetime) -> ColumnElement[str]:
    over = waiver.c.expires_at <= now
    return case(
        (waiver.c.answer.in_(("refused", "withdrawn")), waiver.c.answer),
        (over, "expired"),
        (waiver.c.answer == "approved", "approved"),
        else_="requested",
    )


async def waivers(
    connection: AsyncConnection,
    reader: Reader,
    now: datetime,
    filters: WaiverFilters,
    limit: int,
    after: tuple[datetime, str] | None = None,
) -> Sequence[RowMapping]:
    """Newest first: those on opportunities that the reader sees, and those that the reader asked for."""
    statement = _seen(reader, now).where(*_narrowed(filters, reader, now))
    if after is not None:
        columns = (waiver.c.requested_at, waiver.c.waiver_id)
        bound = [literal(value, column.type) for value, column in zip(after, columns, strict=True)]
        statement = statement.where(tuple_(*columns) < tuple_(*bound))
    newest = statement.order_by(waiver.c.requested_at.desc(), waiver.c.waiver_id.desc()).limit(limit)
    return (await connection.execute(newest)).mappings().all()


async def one_waiver(
    connection: AsyncConnection, reader: Reader, now: datetime, waiver_id: str
) -> tuple[bool, RowMapping | None]:
    """(whether there is such a waiver, its row if it may be seen)."""
    known = await connection.scalar(select(waiver.c.waiver_id).where(waiver.c.waiver_id == waiver_id))
    found = await connection.execute(_seen(reader, now).where(waiver.c.waiver_id == waiver_id))
    return known is not None, found.mappings().one_or_none()


def _seen(reader: Reader, now: datetime) -> Select[tuple[object, ...]]:
    """With the opportunity as it is now; its columns are null where the reader only asked for the waiver."""
    shown = covered(reader.scope)
    present = [
        case((shown, column)).label(name)
        for name, column in (
            ("opportunity_name", span.c.name),
            ("outcome", span.c.outcome),
            ("owner_id", span.c.owner_id),
        )
    ]
    return select(*waiver.c, status(now).label("status"), *present).select_from(SOURCE).where(visible(reader))


def visible(reader: Reader) -> ColumnElement[bool]:
    """May the reader see the waiver?"""
    return or_(asked_by(reader), covered(reader.scope))


def asked_by(reader: Reader) -> ColumnElement[bool]:
    by_login = waiver.c.requested_by == reader.subject
    person = reader.scope.person_id
    return by_login if person is None else or_(by_login, func.coalesce(waiver.c.requested_by_person == person, false()))


def covered(scope: Scope) -> ColumnElement[bool]:
    """Does the scope cover the opportunity as it is now?"""
    if scope.everything:
        return literal(True)
    return or_(span.c.owner_id.in_(sorted(scope.people)), span.c.team_id.in_(sorted(scope.teams)))


def _narrowed(filters: WaiverFilters, reader: Reader, now: datetime) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.status:
        found.append(status(now).in_(filters.status))
    if filters.gate:
        found.append(waiver.c.gate.in_(filters.gate))
    if filters.gate_version is not None:
        found.append(waiver.c.gate_version == filters.gate_version)
    if filters.since is not None:
        found.append(waiver.c.requested_at >= filters.since)
    if filters.until is not None:
        found.append(waiver.c.requested_at < filters.until)
    if filters.opportunity:
        found.append(waiver.c.opportunity_id.in_(filters.opportunity))
    if filters.requested_by:
        found.append(waiver.c.requested_by.in_(filters.requested_by))
    if filters.decidable:
        found += [
            status(now) == "requested",
            not_(asked_by(reader)),
            covered(reader.scope),
            span.c.outcome.not_in(CLOSED),
        ]
    return found
