"""Which exchange rate holds on a day, and which were quoted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, desc, exists, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.domain.rates import Rate
from services.opportunity.projections.rates import quote
from shared.contracts.refusal import Reason, RefusedError


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rates of a day: of that day, or the last before it of at most `within_days`. `known_at`: by what was quoted then."""

    currency: str
    on: date
    within_days: int
    source: str | None = None
    known_at: datetime | None = None

    @property
    def earliest(self) -> date:
        return self.on - timedelta(days=self.within_days)


async def rates_to(connection: AsyncConnection, wanted: Wanted, given: Collection[str]) -> Mapping[str, Rate]:
    """A rate for each of the currencies but the wanted one itself.

    Of several the one of the latest day, then the one quoted as asked rather than the other way round, then the one quoted last.
    Raises RefusedError (kind input), `rate_missing` for every currency that has none: no sum silently leaves one out.
    """
    others = sorted({one for one in given if one != wanted.currency})
    if not others:
        return {}
    to = and_(quote.c.to_currency == wanted.currency, quote.c.from_currency.in_(others))
    back = and_(quote.c.from_currency == wanted.currency, quote.c.to_currency.in_(others))
    conditions = [or_(to, back), quote.c.day.between(wanted.earliest, wanted.on)]
    if wanted.source is not None:
        conditions.append(quote.c.source == wanted.source)
    rows = (await connection.execute(_in_force(conditions, wanted.known_at))).mappings().all()
    found: dict[str, Rate] = {}
    for row in sorted(rows, key=lambda row: (row["day"], row["to_currency"] == wanted.currency, row["position"])):
        inverse = row["from_currency"] == wanted.currency
        names = ("from_currency", "to_currency", "rate", "day", "source")
        rate = Rate(**{name: row[name] for name in names}, inverse=inverse)
        found[rate.to_currency if inverse else rate.from_currency] = rate
    missing = [_missing(one, wanted) for one in others if one not in found]
    if missing:
        raise RefusedError(tuple(missing), "input")
    return found


async def quotes(
    connection: AsyncConnection,
    conditions: Mapping[str, Any],
    days: tuple[date | None, date | None],
    limit: int,
    after: tuple[date, int] | None,
) -> Sequence[RowMapping]:
    """The next `limit` rates in force, latest day first. `conditions`: column → value; `days`: first and last, None for any."""
    asked: list[ColumnElement[bool]] = [quote.c[name] == value for name, value in conditions.items()]
    if days[0] is not None:
        asked.append(quote.c.day >= days[0])
    if days[1] is not None:
        asked.append(quote.c.day <= days[1])
    if after is not None:
        asked.append(tuple_(quote.c.day, quote.c.position) < tuple_(*after))
    statement = _in_force(asked, None).order_by(desc(quote.c.day), desc(quote.c.position)).limit(limit)
    return (await connection.execute(statement)).mappings().all()


def _in_force(conditions: Sequence[ColumnElement[bool]], known_at: datetime | None) -> Any:
    """The last word of each source on each pair and day."""
    later = quote.alias("later")
    same = [later.c[name] == quote.c[name] for name in ("pair_year", "day", "source")]
    replaced = [*same, later.c.version > quote.c.version]
    if known_at is None:
        return select(quote).where(*conditions, ~exists().where(*replaced))
    by_then = later.c.recorded_at <= known_at
    return select(quote).where(*conditions, quote.c.recorded_at <= known_at, ~exists().where(*replaced, by_then))


def _missing(currency: str, wanted: Wanted) -> Reason:
    by = f" of {wanted.source!r}" if wanted.source is not None else ""
    return Reason(
        "rate_missing",
        f"there is no rate{by} between {currency} and {wanted.currency} from {wanted.earliest} to {wanted.on}",
        "in",
        "POST /rates says one; or another rate_on, or a longer rate_within_days",
    )
