"""The contract and the read models that the tests of projections share: visits to customers, counted in several ways."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import BigInteger, Column, Index, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB

from shared.contracts.event import Contract, Event, Recorded
from shared.projections.definition import Projection, Rows

NAMES = UUID("1f0c6c8e-2b0a-4c39-9a54-6f6f8a3f4b11")
NOON = datetime(2017, 6, 30, 4, 0, tzinfo=UTC)
VISITS = Contract("visits")


@VISITS.event("visits.visit_planned")
class VisitPlanned(Event):
    """A visit stands in the calendar."""

    seller: str


@VISITS.event("visits.visit_held", 2)
class VisitHeld(Event):
    """The visit took place."""

    minutes: int
    topics: tuple[str, ...] = ()


@VISITS.upcast("visits.visit_held", 1)
def _hours_to_minutes(data: dict[str, Any]) -> dict[str, Any]:
    return {"minutes": data["hours"] * 60}


@VISITS.event("visits.note_taken")
class NoteTaken(Event):
    """Nobody's projection cares."""

    text: str


visit_list = Projection("visit_list", sources=[VISITS])
visit = visit_list.table(
    "visit",
    Column("visit_id", Text, primary_key=True),
    Column("seller", Text),
    Column("minutes", Integer, nullable=False),
    Column("topics", JSONB, nullable=False),
    Index("visit_seller", "seller"),
)


@visit_list.on(VisitPlanned)
def visit_planned(rows: Rows, e: Recorded[VisitPlanned]) -> None:
    rows.put(visit, {"visit_id": e.entity_id, "seller": e.event.seller, "minutes": 0, "topics": []})


@visit_list.on(VisitHeld)
def visit_held(rows: Rows, e: Recorded[VisitHeld]) -> None:
    row = rows.one(visit, e.entity_id) or {"visit_id": e.entity_id, "minutes": 0, "topics": []}
    if e.event.minutes < 0:
        raise ValueError("a visit cannot last less than no time")
    rows.put(visit, row | {"minutes": row["minutes"] + e.event.minutes, "topics": [*row["topics"], *e.event.topics]})


def _seller(e: Recorded[VisitPlanned]) -> list[str]:
    return [e.event.seller]


seller_load = Projection("seller_load", sources=[VISITS])
load = seller_load.table(
    "load",
    Column("seller", Text, primary_key=True),
    Column("visits", BigInteger, nullable=False),
)


@seller_load.on(VisitPlanned, key=_seller)
def load_grows(rows: Rows, e: Recorded[VisitPlanned]) -> None:
    row = rows.one(load, e.event.seller) or {"seller": e.event.seller, "visits": 0}
    rows.put(load, row | {"visits": row["visits"] + 1})


def recorded(*facts: tuple[str, Event]) -> list[Recorded[Any]]:
    """(visit, event) after (visit, event), each a minute later, as the store would record them."""
    versions: dict[str, int] = {}
    records: list[Recorded[Any]] = []
    for position, (name, event) in enumerate(facts, 1):
        stream_id = f"visit-{name}"
        versions[stream_id] = versions.get(stream_id, 0) + 1
        moment = NOON + timedelta(minutes=position)
        event_id = uuid5(NAMES, str(position))
        records.append(
            Recorded(
                position, event_id, stream_id, versions[stream_id], event, moment, moment, "tester", event_id, None
            )
        )
    return records
