"""Exchange rates, every word that was ever said on them: which one holds is decided when a figure is converted."""

from typing import Any

from sqlalchemy import BigInteger, Column, Date, DateTime, Index, Integer, String, Text

from shared.contracts.event import Recorded
from shared.contracts.opportunity import CONTRACT, ExchangeRateQuoted
from shared.projections.definition import Projection, Rows

rates = Projection("exchange_rates", sources=[CONTRACT])

quote = rates.table(
    "quote",
    Column("pair_year", String(12), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("from_currency", String(3), nullable=False),
    Column("to_currency", String(3), nullable=False),
    Column("day", Date, nullable=False),
    Column("rate", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Index("quote_day", "from_currency", "to_currency", "day"),
)


@rates.on(ExchangeRateQuoted)
def rate_quoted(rows: Rows, e: Recorded[Any]) -> None:
    said: ExchangeRateQuoted = e.event
    recorded = {"position": e.position, "recorded_at": e.recorded_at, "actor": e.actor}
    rows.put(quote, {"pair_year": e.entity_id, "version": e.version} | recorded | said.model_dump())
