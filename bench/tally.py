"""A small read model, the same for all who are compared: a row an opportunity, with its number of events and its amount."""

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Integer, String
from sqlalchemy.dialects.postgresql import UUID

from shared.contracts.event import Recorded
from shared.contracts.opportunity import CONTRACT, AmountRaised
from shared.projections.definition import Projection, Rows

tally = Projection("tally", sources=[CONTRACT])

row = tally.table(
    "row",
    Column("opportunity_id", UUID(as_uuid=False), primary_key=True),
    Column("events", Integer, nullable=False),
    Column("amount_minor", BigInteger),
    Column("currency", String(3)),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)


@tally.on(AmountRaised)
def counted(rows: Rows, e: Recorded[Any]) -> None:
    before = rows.one(row, e.entity_id)
    rows.put(
        row,
        {
            "opportunity_id": e.entity_id,
            "events": (before["events"] if before else 0) + 1,
            "amount_minor": e.event.amount.minor,
            "currency": e.event.amount.currency,
            "updated_at": e.occurred_at,
        },
    )
