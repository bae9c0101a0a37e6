"""How fast the funnel earns, and how much must enter it at the top to make a target (R3). Every input of a figure is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import ceil

from sqlalchemy import RowMapping, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.queries.funnel import cohort_of
from services.opportunity.queries.moment import OPEN
from services.opportunity.queries.view import View, seen
from shared.kit.money import Money

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Velocity:
    """open × average won × win rate ÷ cycle = money per day, of one currency (None: no amount known).

    `win_rate` of those that ended in the period; `cycle_days` from opening to winning, on average. None where nothing was won.
    """

    currency: str | None
    open_count: int
    won_count: int
    ended_count: int
    won_minor: int
    win_rate: float | None
    average_won_minor: int | None
    cycle_days: float | None
    minor_per_day: int | None


async def velocity(connection: AsyncConnection, view: View, start: datetime, end: datetime) -> Sequence[Velocity]:
    """Per currency: what is open in the view, and what was won, lost or abandoned within [start, end)."""
    rows = seen(view)
    ended = rows.c.outcome.not_in(OPEN) & (rows.c.outcome_since >= start) & (rows.c.outcome_since < end)
    won = ended & (rows.c.outcome == "won")
    lasted = func.extract("epoch", rows.c.outcome_since - rows.c.opened_at)
    statement = (
        select(
            rows.c.currency,
            func.count().filter(rows.c.outcome.in_(OPEN)).label("open_count"),
            func.count().filter(won).label("won_count"),
            func.count().filter(ended).label("ended_count"),
            func.coalesce(func.sum(rows.c.amount_minor).filter(won), 0).label("won_minor"),
            func.coalesce(func.sum(lasted).filter(won), 0).label("won_seconds"),
        )
        .group_by(rows.c.currency)
        .order_by(rows.c.currency.asc().nulls_last())
    )
    return [_velocity(row) for row in (await connection.execute(statement)).mappings()]


def _velocity(row: RowMapping) -> Velocity:
    won_count, ended_count, won_minor = row["won_count"], row["ended_count"], int(row["won_minor"])
    cycle = Fraction(row["won_seconds"]) / DAY / won_count if won_count else None
    average = Fraction(won_minor, won_count) if won_count and row["currency"] else None
    rate = Fraction(won_count, ended_count) if ended_count else None
    per_day = row["open_count"] * average * rate / cycle if average is not None and rate and cycle else None
    return Velocity(
        row["currency"],
        row["open_count"],
        won_count,
        ended_count,
        won_minor,
        None if rate is None else float(rate),
        None if average is None else round(average),
        None if cycle is None else float(cycle),
        None if per_day is None else round(per_day),
    )


@dataclass(frozen=True, slots=True)
class RequiredAtTop:
    """What must enter `searching` to win `target`.

    Inputs: of the cohort `entered`, `won` and `still_open`; `conversion` = won ÷ (entered − still open), since those that are
    open have not converted *or* failed yet; averages of the target's currency. Results are None when an input is: `lacking`
    says which.
    """

    target: Money
    entered: int
    won: int
    still_open: int
    conversion: float | None
    average_won_minor: int | None
    average_entered_minor: int | None
    days_to_win_median: float | None
    wins_needed: int | None
    entries_needed: int | None
    amount_needed_minor: int | None
    lacking: str | None


async def required_at_top(
    connection: AsyncConnection, view: View, target: Money, start: datetime, end: datetime
) -> RequiredAtTop:
    """From the cohort that entered `searching` within [start, end), as it has turned out by `as_of`."""
    cohort = cohort_of(view, "state", start, end)
    won, same = cohort.c.outcome == "won", cohort.c.currency == target.currency
    days = func.extract("epoch", cohort.c.outcome_since - cohort.c.entered_at) / float(DAY)
    statement = select(
        func.count().label("entered"),
        func.count().filter(won).label("won"),
        func.count().filter(cohort.c.outcome.in_(OPEN)).label("still_open"),
        func.count().filter(won & same).label("won_same"),
        func.coalesce(func.sum(cohort.c.amount_minor).filter(won & same), 0).label("won_minor"),
        func.count().filter(same).label("same"),
        func.coalesce(func.sum(cohort.c.amount_minor).filter(same), 0).label("entered_minor"),
        func.percentile_cont(0.5).within_group(days).filter(won).label("days"),
    ).where(cohort.c.place == "searching")
    row = (await connection.execute(statement)).mappings().one()
    decided = row["entered"] - row["still_open"]
    rate = Fraction(row["won"], decided) if decided else None
    average_won = Fraction(int(row["won_minor"]), row["won_same"]) if row["won_same"] else None
    average_entered = Fraction(int(row["entered_minor"]), row["same"]) if row["same"] else None
    lacking = _lacking(target, rate, average_won)
    wins = ceil(target.minor / average_won) if average_won else None
    entries = ceil(target.minor / average_won / rate) if average_won and rate else None
    return RequiredAtTop(
        target=target,
        entered=row["entered"],
        won=row["won"],
        still_open=row["still_open"],
        conversion=None if rate is None else float(rate),
        average_won_minor=None if average_won is None else round(average_won),
        average_entered_minor=None if average_entered is None else round(average_entered),
        days_to_win_median=row["days"],
        wins_needed=wins,
        entries_needed=entries,
        amount_needed_minor=round(entries * average_entered) if entries is not None and average_entered else None,
        lacking=lacking,
    )


def _lacking(target: Money, rate: Fraction | None, average_won: Fraction | None) -> str | None:
    if rate is None:
        return "no opportunity of the cohort has ended yet"
    if not rate:
        return "no opportunity of the cohort was won"
    return None if average_won else f"none that was won has an amount in {target.currency}"
