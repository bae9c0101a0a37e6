"""What is abnormal at a moment, and since when (R2): about opportunities, and about people and all of theirs.

A row: code, opportunity_id and name (null: it is about a person), owner_id, team_id, account_id, process, process_version, stage (number
of the working stage, or of the one in which they pile up), amount_minor, currency, since, value, limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, RowMapping, Subquery, and_, func, literal, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.domain.anomalies.limits import DEFAULT_LIMITS_KEY, AnomalyLimits
from services.opportunity.domain.anomalies.opportunity import AnomalyCode
from services.opportunity.projections.deal_control import anomaly_limits
from services.opportunity.queries.anomalies.deals import of_deals
from services.opportunity.queries.anomalies.people import of_people
from services.opportunity.queries.view import View

SortBy = Literal["since", "-since"]


@dataclass(frozen=True, slots=True)
class After:
    """The last row of the page before."""

    since: datetime
    code: str
    about: str


async def anomalies(
    connection: AsyncConnection,
    view: View,
    limits: AnomalyLimits,
    *,
    codes: Sequence[AnomalyCode] = (),
    sort: SortBy = "since",
    limit: int | None = None,
    after: After | None = None,
) -> Sequence[RowMapping]:
    """Those of the view, of these codes (none: all), that have lasted longest first; `-since`: the newest first.

    The filters of the view narrow opportunities; what is about a person is left out under any of them but `owner` and `team`,
    because it is about all of the person's opportunities. `about` is the id that it is about.
    """
    rows = _rows(view, limits, codes)
    if rows is None:
        return []
    newest = sort == "-since"
    order = (rows.c.since.desc() if newest else rows.c.since.asc(), rows.c.code, rows.c.about)
    statement = select(rows).order_by(*order).limit(limit)
    if after is not None:
        statement = statement.where(_beyond(rows, after, newest))
    return (await connection.execute(statement)).mappings().all()


async def counts(
    connection: AsyncConnection, view: View, limits: AnomalyLimits, codes: Sequence[AnomalyCode] = ()
) -> dict[str, int]:
    """How many there are of each code; only codes that there are."""
    rows = _rows(view, limits, codes)
    if rows is None:
        return {}
    found = await connection.execute(
        select(rows.c.code, func.count().label("found")).group_by(rows.c.code).order_by(rows.c.code)
    )
    return {row.code: row.found for row in found}


async def limits_of(connection: AsyncConnection, version: int | None = None) -> AnomalyLimits | None:
    """A version of the limits, by default the latest; None: there is none."""
    statement = select(anomaly_limits.c["limits"]).where(anomaly_limits.c.key == DEFAULT_LIMITS_KEY)
    if version is not None:
        statement = statement.where(anomaly_limits.c.version == version)
    found = await connection.scalar(statement.order_by(anomaly_limits.c.version.desc()).limit(1))
    return None if found is None else AnomalyLimits.model_validate(found)


def _rows(view: View, limits: AnomalyLimits, codes: Sequence[AnomalyCode]) -> Subquery | None:
    parts = [*of_deals(view, limits, codes), *of_people(view, limits, codes)]
    return union_all(*parts).subquery("anomalies") if parts else None


def _beyond(rows: Subquery, after: After, newest: bool) -> ColumnElement[bool]:
    since = literal(after.since, rows.c.since.type)
    further = rows.c.since < since if newest else rows.c.since > since
    later = or_(rows.c.code > after.code, and_(rows.c.code == after.code, rows.c.about > literal(after.about)))
    return or_(further, and_(rows.c.since == since, later))
