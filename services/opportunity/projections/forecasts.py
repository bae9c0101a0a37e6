"""Targets, every word that was said on them; and what was submitted as forecasts, as it was. What counts is decided when asked."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Index, Integer, SmallInteger, String, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from shared.contracts.event import Recorded
from shared.contracts.opportunity import CONTRACT, ForecastLine, ForecastSubmitted, TargetSet
from shared.projections.definition import Projection, Rows

forecasts = Projection("forecasts", sources=[CONTRACT])

# `book`: the holder and the period, the id of the stream.
target = forecasts.table(
    "target",
    Column("book", String(80), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("holder_kind", String(10), nullable=False),
    Column("holder_id", UUID(as_uuid=False)),
    Column("period", String(10), nullable=False),
    Column("first_day", Date, nullable=False),
    Column("last_day", Date, nullable=False),
    Column("minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("note", Text),
    Column("effective_from", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Index("target_of_period", "period", "holder_kind", "holder_id"),
)

submission = forecasts.table(
    "submission",
    Column("book", String(80), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("submission_id", UUID(as_uuid=False), nullable=False, index=True),
    Column("position", BigInteger, nullable=False),
    Column("holder_kind", String(10), nullable=False),
    Column("holder_id", UUID(as_uuid=False), nullable=False),
    Column("teams", ARRAY(UUID(as_uuid=False)), nullable=False),
    Column("period", String(10), nullable=False),
    Column("first_day", Date, nullable=False),
    Column("last_day", Date, nullable=False),
    Column("figures", JSONB, nullable=False),
    Column("judged", JSONB, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("note", Text),
    Column("submitted_at", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Index("submission_by_time", "submitted_at", "submission_id"),
)

submission_line = forecasts.table(
    "submission_line",
    Column("book", String(80), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("opportunity_id", UUID(as_uuid=False), primary_key=True),
    Column("process", String(60), nullable=False),
    Column("process_version", Integer, nullable=False),
    Column("stage", SmallInteger, nullable=False),
    Column("category", String(10), nullable=False),
    Column("amount_minor", BigInteger),
    Column("currency", String(3)),
    Column("low", SmallInteger, nullable=False),
    Column("high", SmallInteger, nullable=False),
    Column("close_date", Date),
    Column("judged_minor", BigInteger),
    Column("judged_currency", String(3)),
    Column("judged_close_date", Date),
    Column("beside", Boolean, nullable=False),
)


@forecasts.on(TargetSet)
def target_set(rows: Rows, e: Recorded[TargetSet]) -> None:
    said = e.event.model_dump(exclude={"amount"})
    when = {"effective_from": e.occurred_at, "recorded_at": e.recorded_at, "actor": e.actor, "position": e.position}
    rows.put(target, {"book": e.entity_id, "version": e.version} | said | e.event.amount.model_dump() | when)


@forecasts.on(ForecastSubmitted)
def submitted(rows: Rows, e: Recorded[Any]) -> None:
    said: ForecastSubmitted = e.event
    key = {"book": e.entity_id, "version": e.version}
    when = {"submitted_at": e.occurred_at, "recorded_at": e.recorded_at, "actor": e.actor, "position": e.position}
    kept = said.model_dump(exclude={"figures", "judged", "lines", "beside", "teams"})
    money = {
        "figures": [one.model_dump() for one in said.figures],
        "judged": [one.model_dump() for one in said.judged],
    }
    rows.put(submission, key | kept | money | when | {"teams": list(said.teams), "lines": len(said.lines)})
    for beside, lines in ((False, said.lines), (True, said.beside)):
        for line in lines:
            rows.put(submission_line, key | _line(line) | {"beside": beside})


def _line(line: ForecastLine) -> dict[str, Any]:
    return line.model_dump(exclude={"amount", "judged_amount"}) | {
        "amount_minor": line.amount and line.amount.minor,
        "currency": line.amount and line.amount.currency,
        "judged_minor": line.judged_amount and line.judged_amount.minor,
        "judged_currency": line.judged_amount and line.judged_amount.currency,
    }
