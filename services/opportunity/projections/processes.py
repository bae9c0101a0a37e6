"""The sales processes, every version of them: names, probabilities and funnel states, to be joined when queried."""

from typing import Any

from sqlalchemy import Column, DateTime, Integer, SmallInteger, String, Text
from sqlalchemy.dialects.postgresql import JSONB

from shared.contracts.event import Recorded
from shared.contracts.opportunity import CONTRACT, ProcessDefined
from shared.projections.definition import Projection, Rows

processes = Projection("sales_processes", sources=[CONTRACT])

definition = processes.table(
    "definition",
    Column("key", String(60), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("names", JSONB, nullable=False),
    Column("process", JSONB, nullable=False),
    Column("effective_from", DateTime(timezone=True), nullable=False),
    Column("stages", Integer, nullable=False),
)

selling_stage = processes.table(
    "selling_stage",
    Column("key", String(60), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("number", SmallInteger, primary_key=True),
    Column("code", Text, nullable=False),
    Column("names", JSONB, nullable=False),
    Column("probability_before", SmallInteger, nullable=False),
    Column("probability_after", SmallInteger, nullable=False),
)

buying_stage = processes.table(
    "buying_stage",
    Column("key", String(60), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("number", SmallInteger, primary_key=True),
    Column("code", Text, nullable=False),
    Column("names", JSONB, nullable=False),
    Column("funnel_state", String(20), nullable=False),
)


@processes.on(ProcessDefined)
def process_defined(rows: Rows, e: Recorded[Any]) -> None:
    defined: ProcessDefined = e.event
    version = {"key": defined.key, "version": defined.version}
    rows.put(
        definition,
        version
        | {
            "names": defined.names,
            "process": defined.model_dump(mode="json"),
            "effective_from": e.occurred_at,
            "stages": len(defined.selling),
        },
    )
    before = 0
    for stage in defined.selling:
        row = {"number": stage.number, "code": stage.code, "names": stage.names}
        rows.put(selling_stage, version | row | {"probability_before": before, "probability_after": stage.probability})
        before = stage.probability
    for answer in defined.buying:
        row = {"number": answer.number, "code": answer.code, "names": answer.names}
        rows.put(buying_stage, version | row | {"funnel_state": answer.funnel_state})
