"""The opportunity timeline: how every opportunity was at any moment, and what we knew of it at any moment.

`fact` keeps the opportunity's events; `span` keeps its state from `valid_from` to `valid_to` (business time) as known from
`known_from` to `known_to` (knowledge). A fact recomputes the spans of its own short stream: what it contradicts is closed in
`known_to`, never deleted, so that "what we believed on 30 June about 31 May" stays a question that can be answered. List,
board, funnel, conversion and leakage (R3) are all queries over `span`; page and history read `fact`.

Probability and funnel state are not here: they belong to the sales process, another stream, and are joined when queried.
"""

from datetime import UTC, datetime

from shared.contracts.opportunity import CONTRACT
from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Index, Integer, String, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from shared.projections.definition import Projection

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)  # the open end of a span: comparable, unlike NULL

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
)

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
    Column("outcome", String(12), nullable=False),
    Column("outcome_since", DateTime(timezone=True), nullable=False),
    Column("reason", Text),
    Column("competitor", Text),
    Column("completed_stage", Integer, nullable=False),
    Column("entered_stage", Integer),
    Column("working_stage", Integer, nullable=False),
    Column("stage_since", DateTime(timezone=True), nullable=False),
    Column("buying_stage", Integer, nullable=False),
    Column("amount_minor", BigInteger),
    Column("currency", String(3)),
    Column("close_date", Date),
    Column("flags", ARRAY(Text), nullable=False),
    Column("external_ids", JSONB, nullable=False),
    Column("migrated", Boolean, nullable=False),
    Index("span_now", "opportunity_id", postgresql_where="known_to = '9999-01-01+00' AND valid_to = '9999-01-01+00'"),
    Index("span_as_of", "valid_from", "valid_to", postgresql_where="known_to = '9999-01-01+00'"),
)
