"""From the facts of one opportunity to the spans of its timeline. Pure."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from shared.contracts.event import Recorded, encode
from shared.contracts.opportunity import CONTRACT
from shared.kit.search import searchable
from shared.projections.definition import Row

EPOCH = datetime(1, 1, 1, tzinfo=UTC)
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)  # the open end of a span: comparable, unlike NULL


def in_business_time(history: Sequence[Row]) -> list[Row]:
    """Rows of `fact` in the order in which they were so; of one moment in the order in which they were said."""
    return sorted(history, key=lambda row: (row["occurred_at"], row["version"]))


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


def fact_row(e: Recorded[Any]) -> Row:
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


def spans(opportunity_id: str, history: Sequence[Row]) -> Iterator[Row]:
    """One span per moment at which something happened, from the moment of its birth on; facts of one moment make one span.
    `history` in the order of business time."""
    state, version, updated = INITIAL, 0, EPOCH
    then: Row = {}
    for at, row in enumerate(history):
        before, state = state, evolve(state, recorded(row))
        version, updated = max(version, row["version"]), max(updated, row["recorded_at"])
        if not (state.closed and before.closed):
            then = {f"then_{name}": getattr(state, name) for name in ("account_id", "owner_id", "team_id")}
        until = history[at + 1]["occurred_at"] if at + 1 < len(history) else FOREVER
        if state.exists and row["occurred_at"] < until:
            span_row = _span(opportunity_id, state, row["occurred_at"], until)
            yield span_row | then | {"version": version, "updated_at": updated}


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
        "search": searchable([state.name, *state.external_ids.values()]),
    }


def same(old: Row, new: Row) -> bool:
    return all(old[name] == value for name, value in new.items())
