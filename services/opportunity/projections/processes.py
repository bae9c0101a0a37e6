"""The sales processes, every version of them: names, probabilities and funnel states, to be joined when queried."""

from shared.contracts.opportunity import CONTRACT
from sqlalchemy import Column, DateTime, Integer, SmallInteger, String, Text
from sqlalchemy.dialects.postgresql import JSONB

from shared.projections.definition import Projection

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
