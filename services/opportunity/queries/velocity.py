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
class Earning:
    """What the wins that have an amount in a currency say.

    `share` of all wins with an amount; open × win rate × share × average won ÷ cycle = `minor_per_day`.
    """

    currency: str
    won_count: int
    won_minor: int
    average_won_minor: int
    share: float
    minor_per_day: int | None


@dataclass(frozen=True, slots=True)
class Velocity:
    """How many are open, how many end well, how long that takes: of all opportunities, whether their amount is known or not.

    `win_rate` of those that ended in the period; `cycle_days` from opening to winning, on average. Components are None where
    nothing shows them, and `lacking` says why nothing is earned per day.
    """

    open_count: int
    open_without_amount: int
    ended_count: int
    won_count: int
    won_without_amount: int
    win_rate: float | None
    cycle_days: float | None
    lacking: str | None
    earnings: Sequence[Earning]


async def velocity(connection: AsyncConnection, view: View, start: datetime, end: datetime) -> Velocity:
    """What is open in the view, and what was won, lost or abandoned within [start, end)."""
    rows = seen(view)
    is_open = rows.c.outcome.in_(OPEN)
    ended = rows.c.outcome.not_in(OPEN) & (rows.c.outcome_since >= start) & (rows.c.outcome_since < end)
    won = ended & (rows.c.outcome == "won")
    lasted = func.extract("epoch", rows.c.outcome_since - rows.c.opened_at)
    statement = (
        select(
            rows.c.currency,
            func.count().filter(is_open).label("open"),
            func.count().filter(ended).label("ended"),
            func.count().filter(won).label("won"),
            func.coalesce(func.sum(rows.c.amount_minor).filter(won), 0).label("won_minor"),
            func.coalesce(func.sum(lasted).filter(won), 0).label("won_seconds"),
        )
        .group_by(rows.c.currency)
        .order_by(rows.c.currency.asc().nulls_last())
    )
    return _velocity((await connection.execute(statement)).mappings().all())


def _velocity(rows: Sequence[RowMapping]) -> Velocity:
    """From counts by currency; null: without an amount."""
    standing, ended, won = (sum(row[name] for row in rows) for name in ("open", "ended", "won"))
    unknown = next((row for row in rows if row["currency"] is None), None)
    seconds = sum(Fraction(row["won_seconds"]) for row in rows)
    rate = Fraction(won, ended) if ended else None
    cycle = seconds / DAY / won if won else None
    known = won - (unknown["won"] if unknown else 0)
    per_day = standing * rate / cycle if rate is not None and cycle else None  # opportunities won a day
    lacking = None
    if not ended:
        lacking = "no opportunity ended in the period"
    elif not won:
        lacking = "no opportunity was won in the period"
    elif not known:
        lacking = "none that was won in the period has an amount"
    elif not cycle:
        lacking = "what was won was won at the moment it was opened, so it took no time"
    return Velocity(
        open_count=standing,
        open_without_amount=unknown["open"] if unknown else 0,
        ended_count=ended,
        won_count=won,
        won_without_amount=won - known,
        win_rate=None if rate is None else float(rate),
        cycle_days=None if cycle is None else float(cycle),
        lacking=lacking,
        earnings=[_earning(row, known, per_day) for row in rows if row["currency"] is not None and row["won"]],
    )


def _earning(row: RowMapping, known: int, per_day: Fraction | None) -> Earning:
    minor = int(row["won_minor"])
    return Earning(
        currency=row["currency"],
        won_count=row["won"],
        won_minor=minor,
        average_won_minor=round(Fraction(minor, row["won"])),
        share=row["won"] / known,
        minor_per_day=None if per_day is None else round(per_day * Fraction(minor, known)),
    )


@dataclass(frozen=True, slots=True)
class RequiredAtTop:
    """What must enter `searching` to win `target`.

    Inputs: of the whole cohort, whether an amount is known or not, `entered`, `won` and `still_open`; `conversion` = won ÷
    (entered − still open), since those that are open have not converted *or* failed yet; averages of those with an amount in
    the target's currency. Results are None when an input is: `lacking` says which.
    """

    target: Money
    entered: int
    won: int
    won_without_amount: int
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
        func.count().filter(won & cohort.c.currency.is_(None)).label("won_without_amount"),
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
    lacking = _lacking(target, row["entered"], rate, average_won)
    wins = ceil(target.minor / average_won) if average_won else None
    entries = ceil(target.minor / average_won / rate) if average_won and rate else None
    return RequiredAtTop(
        target=target,
        entered=row["entered"],
        won=row["won"],
        won_without_amount=row["won_without_amount"],
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


def _lacking(target: Money, entered: int, rate: Fraction | None, average_won: Fraction | None) -> str | None:
    if not entered:
        return "no opportunity entered the top of the funnel, searching, in the period"
    if rate is None:
        return "no opportunity of the cohort has ended yet"
    if not rate:
        return "no opportunity of the cohort was won"
    return None if average_won else f"none that was won has an amount in {target.currency}"
