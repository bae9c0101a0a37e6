"""What a submission keeps: the opportunities of a holder that are to close within a period, those won in it so far, and those that
a manager judged into it."""

from dataclasses import replace

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.domain.forecast.category import COUNTED
from services.opportunity.domain.forecast.submission import Holder, Snapshot, check_lines
from services.opportunity.queries.listing import Order, page
from services.opportunity.queries.moment import OPEN
from services.opportunity.queries.view import Filters, View
from shared.contracts.opportunity import ForecastLine
from shared.contracts.opportunity.forecast import MOST_LINES
from shared.kit.calendar import Period
from shared.kit.money import Money
from shared.service.visibility import EVERYTHING


async def snapshot(connection: AsyncConnection, view: View, holder: Holder, period: Period) -> Snapshot:
    """At the moment of the view, in order of close dates; close dates that are over stand apart and are in it only as far as a
    manager judges that they will close within the period all the same.

    All that is the holder's counts, so every submission of one is comparable. Refuses too many lines.
    """
    whose = Filters(owner=(holder.id,)) if holder.kind == "person" else Filters(team=holder.teams)
    ahead = replace(whose, due="ahead", closing=(period.first_day, period.last_day))
    won = replace(whose, outcome=("won",), closed_from=period.start, closed_before=period.end)
    judged = replace(whose, judged_closing=(period.first_day, period.last_day), forecast=COUNTED)
    found: dict[str, RowMapping] = {}
    lines = 0
    for filters in (replace(ahead, outcome=OPEN), won, judged):
        asked, lines = replace(view, scope=EVERYTHING, belonging="then", filters=filters), len(found)
        rows = await page(connection, asked, Order("close_date", descending=False), MOST_LINES + 1)
        found |= {row["opportunity_id"]: row for row in rows if row["opportunity_id"] not in found}
        check_lines(len(found), period)
    told = [_line(row) for row in found.values()]
    return Snapshot(tuple(told[:lines]), tuple(told[lines:]))


def _line(row: RowMapping) -> ForecastLine:
    return ForecastLine(
        opportunity_id=row["opportunity_id"],
        process=row["process"],
        process_version=row["process_version"],
        stage=row["working_stage"],
        category=row["forecast"],
        amount=_money(row["amount_minor"], row["currency"]),
        low=row["probability_low"],
        high=row["probability_high"],
        close_date=row["close_date"],
        judged_amount=_money(row["judged_minor"], row["judged_currency"]),
        judged_close_date=row["judged_close_date"],
    )


def _money(minor: int | None, currency: str | None) -> Money | None:
    return None if minor is None or currency is None else Money(minor=minor, currency=currency)
