"""What gates did: a row each time one warned, stopped or was passed on a waiver; and the waivers that were asked for (R5).

How the sales concerned ended is not here: it is joined from the timeline when it is asked.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, String, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import (
    CONTRACT,
    GatePassedOnWaiver,
    GateStopped,
    GateWarned,
    WaiverApproved,
    WaiverRefused,
    WaiverRequested,
    WaiverWithdrawn,
)
from shared.projections.definition import Projection, Rows

gate_effects = Projection("gate_effects", sources=[CONTRACT])

firing = gate_effects.table(
    "firing",
    Column("opportunity_id", UUID(as_uuid=False), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("gate", String(60), nullable=False),
    Column("gate_version", Integer, nullable=False),
    Column("act", String(30), nullable=False),
    Column("stage", Integer),
    Column("verdict", String(10), nullable=False),  # warned, stopped, waived
    Column("lacking", JSONB, nullable=False),
    Column("waiver_id", UUID(as_uuid=False)),
    Column("approved_by", Text),
    Column("actor", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Index("firing_of_gate", "gate", "gate_version"),
)

waiver = gate_effects.table(
    "waiver",
    Column("waiver_id", UUID(as_uuid=False), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("opportunity_id", UUID(as_uuid=False), nullable=False),
    Column("gate", String(60), nullable=False),
    Column("gate_version", Integer, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_by_person", UUID(as_uuid=False)),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("reason", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("answer", String(10)),  # approved, refused, withdrawn; null: none yet
    Column("decided_by", Text),
    Column("decided_at", DateTime(timezone=True)),
    Column("note", Text),
    Index("waiver_by_time", "requested_at", "waiver_id"),
    Index("waiver_of_opportunity", "opportunity_id"),
)

_VERDICTS: dict[type[Event], str] = {GateWarned: "warned", GateStopped: "stopped", GatePassedOnWaiver: "waived"}


@gate_effects.on(GateWarned, GateStopped, GatePassedOnWaiver)
def fired(rows: Rows, e: Recorded[Any]) -> None:
    on_waiver = e.event if isinstance(e.event, GatePassedOnWaiver) else None
    rows.put(
        firing,
        {
            "opportunity_id": e.entity_id,
            "version": e.version,
            "position": e.position,
            "gate": e.event.gate,
            "gate_version": e.event.gate_version,
            "act": e.event.act,
            "stage": e.event.stage,
            "verdict": _VERDICTS[type(e.event)],
            "lacking": [one.model_dump(mode="json") for one in e.event.lacking],
            "waiver_id": on_waiver and on_waiver.waiver_id,
            "approved_by": on_waiver and on_waiver.approved_by,
            "actor": e.actor,
            "recorded_at": e.recorded_at,
        },
    )


@gate_effects.on(WaiverRequested)
def asked(rows: Rows, e: Recorded[WaiverRequested]) -> None:
    said = e.event.model_dump()
    rows.put(waiver, said | {"waiver_id": e.entity_id, "version": e.version, "requested_at": e.recorded_at})


@gate_effects.on(WaiverApproved)
def approved(rows: Rows, e: Recorded[WaiverApproved]) -> None:
    _answered(rows, e, "approved", e.event.approved_by, {"expires_at": e.event.expires_at, "note": e.event.note})


@gate_effects.on(WaiverRefused)
def refused(rows: Rows, e: Recorded[WaiverRefused]) -> None:
    _answered(rows, e, "refused", e.event.refused_by, {"note": e.event.reason})


@gate_effects.on(WaiverWithdrawn)
def withdrawn(rows: Rows, e: Recorded[WaiverWithdrawn]) -> None:
    _answered(rows, e, "withdrawn", e.event.withdrawn_by, {"note": e.event.reason})


def _answered(rows: Rows, e: Recorded[Any], answer: str, by: str, more: dict[str, Any]) -> None:
    row = rows.one(waiver, e.entity_id)
    if row is None:
        raise LookupError(f"{e.stream_id}: answered before it was asked")
    decided = {"version": e.version, "answer": answer, "decided_by": by, "decided_at": e.recorded_at}
    rows.put(waiver, row | decided | more)
