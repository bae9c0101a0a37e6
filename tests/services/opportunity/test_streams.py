"""Which streams the events of the service belong to."""

from typing import Any

import pytest

from services.opportunity import entities
from services.opportunity.entities import GATE_BOOK, OPPORTUNITY
from services.opportunity.projections.timeline import timeline
from shared.contracts.event import Event
from shared.contracts.opportunity import CONTRACT, Commented, WaiverRefused
from shared.eventstore.aggregate import Aggregate
from shared.eventstore.commands import Work
from shared.eventstore.types import JsonObject
from tests.services.opportunity.conftest import Desk

CATEGORIES = {one.category for one in vars(entities).values() if isinstance(one, Aggregate)}


def test_every_event_belongs_to_a_kind_of_stream() -> None:
    strayed = {name: event.stream for name, event in CONTRACT.events.items() if event.stream not in CATEGORIES}
    assert strayed == {}, "name a category of services/opportunity/entities.py in @CONTRACT.event(…, stream=…)"


def test_the_timeline_is_told_of_opportunities_alone() -> None:
    assert set(timeline.handlings) == {e for e in CONTRACT.events.values() if e.stream == OPPORTUNITY.category}


@pytest.mark.parametrize(
    ("aggregate", "event"),
    [(GATE_BOOK, Commented(text="hm")), (OPPORTUNITY, WaiverRefused(refused_by="lin", reason="no"))],
)
async def test_a_stream_takes_no_event_of_another_kind(desk: Desk, aggregate: Aggregate[Any], event: Event) -> None:
    async def act(work: Work) -> JsonObject:
        work.append(aggregate, "1", event)
        return {}

    with pytest.raises(ValueError, match=f"{event.type_name} belongs to a stream {event.stream}-…, not to "):
        await desk.run(act)
