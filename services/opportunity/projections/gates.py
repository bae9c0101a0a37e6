"""The book of gates as it was written: every word on rules and authority, in order. Which of them count is told by the domain."""

from typing import Any

import orjson
from sqlalchemy import Column, DateTime, Integer, String, Text
from sqlalchemy.dialects.postgresql import JSONB

from shared.contracts.event import Recorded, encode
from shared.contracts.opportunity import CONTRACT, AuthorityDefined, GateDefined, GateRetired, GatesProved
from shared.projections.definition import Projection, Rows

gates = Projection("gate_book", sources=[CONTRACT])

entry = gates.table(
    "entry",
    Column("book", String(60), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("type_name", Text, nullable=False),
    Column("type_version", Integer, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("actor", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
)


proof = gates.table(
    "proof",
    Column("book", String(60), primary_key=True),
    Column("gate", String(60), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("proved_at", DateTime(timezone=True), nullable=False),
    Column("failing", JSONB, nullable=False),
)


@gates.on(GatesProved)
def proved(rows: Rows, e: Recorded[GatesProved]) -> None:
    """The last time counts."""
    for one in e.event.gates:
        told = {"gate": one.gate, "version": one.version, "failing": list(one.failing)}
        rows.put(proof, told | {"book": e.entity_id, "proved_at": e.occurred_at})


@gates.on(GateDefined, GateRetired, AuthorityDefined)
def written(rows: Rows, e: Recorded[Any]) -> None:
    rows.put(
        entry,
        {
            "book": e.entity_id,
            "number": e.version,
            "type_name": e.event.type_name,
            "type_version": e.event.type_version,
            "data": orjson.loads(encode(e.event)),
            "actor": e.actor,
            "recorded_at": e.recorded_at,
        },
    )
