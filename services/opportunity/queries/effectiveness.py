"""What gates did, and how the sales they warned of, stopped or let through ended (R5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, RowMapping, and_, cast, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.projections.gate_effects import firing, waiver
from services.opportunity.projections.timeline import span
from services.opportunity.queries.moment import holds
from services.opportunity.queries.waivers import SOURCE as ASKED
from services.opportunity.queries.waivers import Reader, covered, status, visible
from shared.service.visibility import Scope


@dataclass(frozen=True, slots=True)
class Fired:
    """Which firings: every field narrows, None does not. `gates`: one of these. `since` and `until`: recorded within
    [since, until)."""

    gate: str | None = None
    gate_version: int | None = None
    verdict: str | None = None
    outcome: str | None = None
    approved_by: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    gates: tuple[str, ...] | None = None


_SOURCE = firing.join(span, and_(span.c.opportunity_id == firing.c.opportunity_id, holds(span, None, None)))


async def counts(connection: AsyncConnection, scope: Scope, ask: Fired) -> Sequence[RowMapping]:
    """By gate, version and verdict: how often, and for how many opportunities."""
    groups = (firing.c.gate, firing.c.gate_version, firing.c.verdict)
    statement = (
        select(
            *groups,
            func.count().label("firings"),
            func.count(firing.c.opportunity_id.distinct()).label("opportunities"),
        )
        .select_from(_SOURCE)
        .where(covered(scope), *_within(ask))
        .group_by(*groups)
        .order_by(*groups)
    )
    return (await connection.execute(statement)).mappings().all()


async def outcomes(connection: AsyncConnection, scope: Scope, ask: Fired) -> Sequence[RowMapping]:
    """How the opportunities concerned stand now, each counted once: number and money, by currency (null: no amount known)."""
    concerned = (
        select(
            firing.c.gate,
            firing.c.gate_version,
            firing.c.verdict,
            span.c.opportunity_id,
            span.c.outcome,
            span.c.currency,
            span.c.amount_minor,
        )
        .select_from(_SOURCE)
        .where(covered(scope), *_within(ask))
        .distinct()
        .subquery()
    )
    groups = (concerned.c.gate, concerned.c.gate_version, concerned.c.verdict, concerned.c.outcome)
    statement = (
        select(
            *groups,
            concerned.c.currency,
            func.count().label("count"),
            cast(func.coalesce(func.sum(concerned.c.amount_minor), 0), BigInteger).label("amount_minor"),
        )
        .group_by(*groups, concerned.c.currency)
        .order_by(*groups, concerned.c.currency.asc().nulls_last())
    )
    return (await connection.execute(statement)).mappings().all()


async def waived_by(connection: AsyncConnection, scope: Scope, ask: Fired) -> Sequence[RowMapping]:
    """Who let pass, by gate and version."""
    groups = (firing.c.gate, firing.c.gate_version, firing.c.approved_by)
    statement = (
        select(*groups, func.count().label("firings"))
        .select_from(_SOURCE)
        .where(covered(scope), firing.c.verdict == "waived", *_within(ask))
        .group_by(*groups)
        .order_by(*groups)
    )
    return (await connection.execute(statement)).mappings().all()


async def asked_for(connection: AsyncConnection, reader: Reader, ask: Fired, now: datetime) -> Sequence[RowMapping]:
    """Waivers by the gate and the version they were asked for under, and their status: those that the list of waivers shows."""
    told = (
        select(waiver.c.gate, waiver.c.gate_version, status(now).label("status"))
        .select_from(ASKED)
        .where(visible(reader), *_asked_within(ask))
        .subquery()
    )
    groups = (told.c.gate, told.c.gate_version, told.c.status)
    statement = select(*groups, func.count().label("count")).group_by(*groups).order_by(*groups)
    return (await connection.execute(statement)).mappings().all()


async def firings(
    connection: AsyncConnection, scope: Scope, ask: Fired, limit: int, after: tuple[datetime, str, int] | None = None
) -> Sequence[RowMapping]:
    """Newest first, with how the opportunity stands now."""
    order = (firing.c.recorded_at, firing.c.opportunity_id, firing.c.version)
    statement = (
        select(*firing.c, span.c.name, span.c.outcome, span.c.owner_id, span.c.amount_minor, span.c.currency)
        .select_from(_SOURCE)
        .where(covered(scope), *_within(ask))
        .order_by(*(column.desc() for column in order))
        .limit(limit)
    )
    if after is not None:
        bound = [literal(value, column.type) for value, column in zip(after, order, strict=True)]
        statement = statement.where(tuple_(*order) < tuple_(*bound))
    return (await connection.execute(statement)).mappings().all()


def _within(ask: Fired) -> list[ColumnElement[bool]]:
    same: dict[ColumnElement[Any], Any] = {
        firing.c.gate: ask.gate,
        firing.c.gate_version: ask.gate_version,
        firing.c.verdict: ask.verdict,
        firing.c.approved_by: ask.approved_by,
        span.c.outcome: ask.outcome,
    }
    found = [column == value for column, value in same.items() if value is not None]
    if ask.gates is not None:
        found.append(firing.c.gate.in_(ask.gates))
    return found + _between(firing.c.recorded_at, ask)


def _asked_within(ask: Fired) -> list[ColumnElement[bool]]:
    found = [] if ask.gate is None else [waiver.c.gate == ask.gate]
    if ask.gate_version is not None:
        found.append(waiver.c.gate_version == ask.gate_version)
    if ask.gates is not None:
        found.append(waiver.c.gate.in_(ask.gates))
    return found + _between(waiver.c.requested_at, ask)


def _between(column: ColumnElement[datetime], ask: Fired) -> list[ColumnElement[bool]]:
    found = [] if ask.since is None else [column >= ask.since]
    return found if ask.until is None else [*found, column < ask.until]
