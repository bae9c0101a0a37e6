"""The opportunity timeline: how every opportunity was at any moment, and what we knew of it at any moment.

`fact` keeps the opportunity's events; `span` keeps its state from `valid_from` to `valid_to` (business time) as known from
`known_from` to `known_to` (knowledge). A fact recomputes the spans of its own short stream: what it contradicts is closed in
`known_to`, never deleted, so that "what we believed on 30 June about 31 May" stays a question that can be answered. List,
board, funnel, conversion and leakage (R3) are all queries over `span`; page and history read `fact`.

Probability and funnel state are not here: they belong to the sales process, another stream, and are joined when queried.
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import BigInteger, Column, Date, DateTime, Index, Integer, String, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from shared.contracts.event import Recorded, encode
from shared.contracts.opportunity import CONTRACT
from shared.projections.definition import Projection, Row, Rows

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
    Column("stage_since", DateTime(timezone=True), nullable=False),
    Column("buying_stage", Integer, nullable=False),
    Column("amount_minor", BigInteger),
    Column("currency", String(3)),
    Column("close_date", Date),
    Column("flags", ARRAY(Text), nullable=False),
    Column("external_ids", JSONB, nullable=False),
    Index("span_now", "opportunity_id", postgresql_where="known_to = '9999-01-01+00' AND valid_to = '9999-01-01+00'"),
    Index("span_as_of", "valid_from", "valid_to", postgresql_where="known_to = '9999-01-01+00'"),
)


PROCESS_EVENTS = {"opportunity.process_defined", "opportunity.external_id_claimed"}
OF_AN_OPPORTUNITY = tuple(event for name, event in CONTRACT.events.items() if name not in PROCESS_EVENTS)
SPAN_KEY = ("opportunity_id", "valid_from", "known_from")


@timeline.on(*OF_AN_OPPORTUNITY)
def fact_recorded(rows: Rows, e: Recorded[Any]) -> None:
    """Keep the fact, refold the stream in order of business time, and replace what was believed where that differs now."""
    rows.put(fact, _fact(e))
    history = sorted(rows.of(fact, e.entity_id), key=lambda row: (row["occurred_at"], row["version"]))
    believed = {row["valid_from"]: row for row in rows.of(span, e.entity_id) if row["known_to"] == FOREVER}
    true = {row["valid_from"]: row for row in _spans(e.entity_id, history)}
    for valid_from, old in believed.items():
        new = true.get(valid_from)
        if new is not None and _same(old, new):
            continue
        if old["known_from"] < e.recorded_at:
            rows.put(span, old | {"known_to": e.recorded_at})
        else:  # believed for no time at all: two facts recorded at one moment
            rows.delete(span, *(old[name] for name in SPAN_KEY))
    for valid_from, new in true.items():
        old_row = believed.get(valid_from)
        if old_row is None or not _same(old_row, new):
            rows.put(span, new | {"known_from": e.recorded_at, "known_to": FOREVER})


def recorded(row: Row) -> Recorded[Any]:
    """A row of `fact` as the event that it was."""
    return Recorded(
        row["position"],
        uuid.UUID(row["event_id"]),
        f"opportunity-{row['opportunity_id']}",
        row["version"],
        CONTRACT.decode(row["type_name"], row["type_version"], orjson.dumps(row["data"])),
        row["occurred_at"],
        row["recorded_at"],
        row["actor"],
        uuid.UUID(row["correlation_id"]),
        uuid.UUID(row["causation_id"]) if row["causation_id"] else None,
    )


def _fact(e: Recorded[Any]) -> Row:
    return {
        "opportunity_id": e.entity_id,
        "version": e.version,
        "position": e.position,
        "event_id": str(e.event_id),
        "type_name": e.event.type_name,
        "type_version": e.event.type_version,
        "data": orjson.loads(encode(e.event)),
        "occurred_at": e.occurred_at,
        "recorded_at": e.recorded_at,
        "actor": e.actor,
        "correlation_id": str(e.correlation_id),
        "causation_id": e.causation_id and str(e.causation_id),
    }


def _spans(opportunity_id: str, history: list[Row]) -> Iterator[Row]:
    """One span per moment at which something happened, from the moment of its birth on; facts of one moment make one span."""
    state, version, updated = INITIAL, 0, FOREVER
    for at, row in enumerate(history):
        state = evolve(state, recorded(row))
        version = max(version, row["version"])
        updated = row["recorded_at"] if updated is FOREVER else max(updated, row["recorded_at"])
        until = history[at + 1]["occurred_at"] if at + 1 < len(history) else FOREVER
        if state.exists and row["occurred_at"] < until:
            yield _span(opportunity_id, state, row["occurred_at"], until) | {"version": version, "updated_at": updated}


def _span(opportunity_id: str, state: OpportunityState, valid_from: datetime, valid_to: datetime) -> Row:
    return {
        "opportunity_id": opportunity_id,
        "valid_from": valid_from,
        "valid_to": valid_to,
        "opened_at": state.opened_at,
        "name": state.name,
        "process": state.process,
        "process_version": state.process_version,
        "account_id": state.account_id,
        "owner_id": state.owner_id,
        "team_id": state.team_id,
        "outcome": state.outcome,
        "outcome_since": state.outcome_since,
        "reason": state.reason,
        "competitor": state.competitor,
        "completed_stage": state.completed_stage,
        "entered_stage": state.entered_stage,
        "stage_since": state.stage_since,
        "buying_stage": state.buying_stage,
        "amount_minor": state.amount and state.amount.minor,
        "currency": state.amount and state.amount.currency,
        "close_date": state.close_date,
        "flags": list(state.flags),
        "external_ids": dict(state.external_ids),
    }


def _same(old: Row, new: Row) -> bool:
    return all(old[name] == value for name, value in new.items())
