"""The opportunity timeline: how every opportunity was at any moment, and what we knew of it at any moment.

`fact` keeps the opportunity's events; `span` keeps its state from `valid_from` to `valid_to` (business time) as known from
`known_from` to `known_to` (knowledge). A fact recomputes the spans of its own short stream: what it contradicts is closed in
`known_to`, never deleted, so that "what we believed on 30 June about 31 May" stays a question that can be answered. List,
board, funnel, conversion and leakage (R3) are all queries over `span`; page and history read `fact`.

`then_…` is who a result belongs to: whose the opportunity was when it ended, or is while it has not.

Probability and funnel state are not here: they belong to the sales process, another stream, and are joined when queried.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Date, DateTime, Index, Integer, String, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from services.opportunity.projections.folded import Folded, chain, known_end, remember_end, spans
from services.opportunity.projections.spans import FOREVER, fact_row, in_business_time, same
from shared.contracts.event import Recorded
from shared.contracts.opportunity import CONTRACT
from shared.projections.definition import Projection, Row, Rows

timeline = Projection("opportunity_timeline", sources=[CONTRACT])

fact = timeline.table(
    "fact",
    Column("opportunity_id", UUID(as_uuid=False), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("event_id", UUID(as_uuid=False), nullable=False),
    Column("type_name", Text, nullable=False),
    Column("type_version", Integer, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("correlation_id", UUID(as_uuid=False), nullable=False),
    Column("causation_id", UUID(as_uuid=False)),
    Index("fact_effort", "occurred_at", postgresql_where="type_name = 'opportunity.effort_spent'"),
)

# Lists page by page, and their totals.
NEWEST = (text("updated_at DESC NULLS LAST"), "opportunity_id")
HELD_NOW: Row = {
    "postgresql_include": ["currency", "amount_minor"],
    "postgresql_where": "known_to = '9999-01-01+00' AND valid_to = '9999-01-01+00'",
}

span = timeline.table(
    "span",
    Column("opportunity_id", UUID(as_uuid=False), primary_key=True),
    Column("valid_from", DateTime(timezone=True), primary_key=True),
    Column("known_from", DateTime(timezone=True), primary_key=True),
    Column("valid_to", DateTime(timezone=True), nullable=False),
    Column("known_to", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("name", Text, nullable=False),
    Column("process", String(60), nullable=False),
    Column("process_version", Integer, nullable=False),
    Column("account_id", UUID(as_uuid=False)),
    Column("owner_id", UUID(as_uuid=False)),
    Column("team_id", UUID(as_uuid=False)),
    Column("then_account_id", UUID(as_uuid=False)),
    Column("then_owner_id", UUID(as_uuid=False)),
    Column("then_team_id", UUID(as_uuid=False)),
    Column("outcome", String(12), nullable=False),
    Column("outcome_since", DateTime(timezone=True), nullable=False),
    Column("reason", Text),
    Column("competitor", Text),
    Column("completed_stage", Integer, nullable=False),
    Column("entered_stage", Integer),
    Column("stage_since", DateTime(timezone=True), nullable=False),
    Column("buying_stage", Integer, nullable=False),
    Column("risk_decision", Text),
    Column("assessment_total", Integer),
    Column("assessment_decision", String(12)),
    Column("visits", Integer, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("forecast_chosen", String(10)),
    Column("judged_minor", BigInteger),
    Column("judged_currency", String(3)),
    Column("judged_close_date", Date),
    Column("pushed_out_at", ARRAY(DateTime(timezone=True)), nullable=False),
    Column("amount_minor", BigInteger),
    Column("currency", String(3)),
    Column("close_date", Date),
    Column("flags", ARRAY(Text), nullable=False),
    Column("external_ids", JSONB, nullable=False),
    Column("search", Text, nullable=False),
    Index("span_now", *NEWEST, **HELD_NOW),
    Index("span_owner", "owner_id", *NEWEST, **HELD_NOW),
    Index("span_team", "team_id", *NEWEST, **HELD_NOW),
    Index("span_as_of", "valid_from", "valid_to", postgresql_where="known_to = '9999-01-01+00'"),
)

OF_AN_OPPORTUNITY = tuple(event for event in CONTRACT.events.values() if event.stream == "opportunity")


@timeline.on(*OF_AN_OPPORTUNITY)
def fact_recorded(rows: Rows, e: Recorded[Any]) -> None:
    """Keep the fact, refold the stream in order of business time, and replace what was believed where that differs now."""
    new = fact_row(e)
    rows.put(fact, new)
    end = known_end(e.entity_id, rows)
    if end is not None and end.folded.fact is not None and end.folded.fact["occurred_at"] <= e.occurred_at:
        _goes_on(rows, e, end.folded.after(new, e), end.span)
        return
    believed = {row["valid_from"]: row for row in rows.of(span, e.entity_id) if row["known_to"] == FOREVER}
    folded = chain(e.entity_id, in_business_time(rows.of(fact, e.entity_id)))
    # No moment of business time ever vanishes: facts are only added.
    last = None
    for true in spans(folded):
        last = _believe(rows, e, believed.get(true["valid_from"]), true)
    remember_end(e.entity_id, rows, folded[-1], last)


def _goes_on(rows: Rows, e: Recorded[Any], folded: Folded, before: Row | None) -> None:
    """As refolding would have it when the fact comes after all others: only the last span ends, or becomes another one."""
    if before is not None and before["valid_from"] < e.occurred_at:
        _believe(rows, e, before, before | {"valid_to": e.occurred_at})
        before = None
    last = None if folded.row is None else _believe(rows, e, before, folded.row | {"valid_to": FOREVER})
    remember_end(e.entity_id, rows, folded, last)


def _believe(rows: Rows, e: Recorded[Any], old: Row | None, true: Row) -> Row:
    """The row that is believed now. What was believed for no time, for two facts were recorded at one moment, is replaced."""
    if old is not None and same(old, true):
        return old
    if old is not None and old["known_from"] < e.recorded_at:
        rows.put(span, old | {"known_to": e.recorded_at})
    made = true | {"known_from": e.recorded_at, "known_to": FOREVER}
    rows.put(span, made)
    return made
