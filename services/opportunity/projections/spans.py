"""The rows of the timeline: of an event, and of what is so of an opportunity from a moment on. Pure."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from services.opportunity.domain.opportunity.state import OpportunityState
from shared.contracts.event import Recorded, encode
from shared.contracts.opportunity import CONTRACT
from shared.kit.search import searchable
from shared.projections.definition import Row

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


def span_row(opportunity_id: str, state: OpportunityState, valid_from: datetime) -> Row:
    judged = state.judgement and state.judgement.amount
    return {
        "opportunity_id": opportunity_id,
        "valid_from": valid_from,
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
        "risk_decision": state.risk_decision,
        "assessment_total": state.assessment and state.assessment.total,
        "assessment_decision": state.assessment and state.assessment.decision,
        "visits": state.visits,
        "minutes": state.minutes,
        "forecast_chosen": state.forecast,
        "judged_minor": judged and judged.minor,
        "judged_currency": judged and judged.currency,
        "judged_close_date": state.judgement and state.judgement.close_date,
        "pushed_out_at": list(state.pushed_out_at),
        "amount_minor": state.amount and state.amount.minor,
        "currency": state.amount and state.amount.currency,
        "close_date": state.close_date,
        "flags": list(state.flags),
        "external_ids": dict(state.external_ids),
        "search": searchable([state.name, *state.external_ids.values()]),
    }


def same(old: Row, new: Row) -> bool:
    for name, value in new.items():  # noqa: SIM110 — a loop, for this is done for every span of every fact
        if old[name] != value:
            return False
    return True
