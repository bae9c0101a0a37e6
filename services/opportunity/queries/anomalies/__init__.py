"""What is abnormal at a moment, and since when (R2): about opportunities, and about people and all of theirs.

A row: code, opportunity_id and name (null: it is about a person), owner_id, team_id, account_id, process, process_version,
stage (number of the working stage, or of the one in which they pile up), amount_minor, currency, since, value, limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    RowMapping,
    Select,
    and_,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)
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
    because it is about all of the person's opportunities. `about` tells rows of one moment and code apart.
    """
    rows = _rows(view, limits, codes)
    return [] if rows is None else (await connection.execute(_page(rows, sort, limit, after))).mappings().all()


async def page_of_all(
    connection: AsyncConnection,
    view: View,
    limits: AnomalyLimits,
    *,
    codes: Sequence[AnomalyCode] = (),
    sort: SortBy = "since",
    limit: int | None = None,
    after: After | None = None,
) -> tuple[Sequence[RowMapping], dict[str, int]]:
    """As `anomalies`, with how many there are of each code on all pages: what is abnormal is looked for once."""
    rows = _rows(view, limits, codes)
    if rows is None:
        return [], {}
    by_code = select(rows.c.code, func.count().label("found")).group_by(rows.c.code).subquery("by_code")
    counted = select(func.jsonb_object_agg(by_code.c.code, by_code.c.found).label("counts")).subquery("counted")
    page = _page(rows, sort, limit, after).subquery("page")
    statement = select(counted.c["counts"], page).select_from(counted.outerjoin(page, true()))
    found = (await connection.execute(statement.order_by(*_order(page, sort)))).mappings().all()
    return [row for row in found if row["code"] is not None], found[0]["counts"] or {}


async def limits_of(connection: AsyncConnection, version: int | None = None) -> AnomalyLimits | None:
    """A version of the limits, by default the latest; None: there is none."""
    statement = select(anomaly_limits.c["limits"]).where(anomaly_limits.c.key == DEFAULT_LIMITS_KEY)
    if version is not None:
        statement = statement.where(anomaly_limits.c.version == version)
    found = await connection.scalar(statement.order_by(anomaly_limits.c.version.desc()).limit(1))
    return None if found is None else AnomalyLimits.model_validate(found)


def _rows(view: View, limits: AnomalyLimits, codes: Sequence[AnomalyCode]) -> CTE | None:
    parts = [*of_deals(view, limits, codes), *of_people(view, limits, codes)]
    return union_all(*parts).cte("anomalies") if parts else None


def _page(rows: CTE, sort: SortBy, limit: int | None, after: After | None) -> Select[Any]:
    statement = select(rows).order_by(*_order(rows, sort)).limit(limit)
    return statement if after is None else statement.where(_beyond(rows, after, sort == "-since"))


def _order(rows: FromClause, sort: SortBy) -> tuple[ColumnElement[Any], ...]:
    since = rows.c.since.desc() if sort == "-since" else rows.c.since.asc()
    return since, rows.c.code, rows.c.about


def _beyond(rows: CTE, after: After, newest: bool) -> ColumnElement[bool]:
    since = literal(after.since, rows.c.since.type)
    further = rows.c.since < since if newest else rows.c.since > since
    later = or_(rows.c.code > after.code, and_(rows.c.code == after.code, rows.c.about > literal(after.about)))
    return or_(further, and_(rows.c.since == since, later))
