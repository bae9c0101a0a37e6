"""The kinds of streams of this service, and how each is folded."""

from dataclasses import dataclass
from typing import Any

from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from services.opportunity.domain.process import ProcessState, evolve_process
from shared.contracts.event import Recorded
from shared.contracts.opportunity import ExternalIdClaimed
from shared.eventstore.aggregate import Aggregate


@dataclass(frozen=True, slots=True)
class Claim:
    """Which opportunity an external id names."""

    opportunity_id: str | None = None


def _claimed(state: Claim, e: Recorded[Any]) -> Claim:
    return Claim(e.event.opportunity_id) if isinstance(e.event, ExternalIdClaimed) else state


OPPORTUNITY: Aggregate[OpportunityState] = Aggregate("opportunity", INITIAL, evolve)
PROCESS: Aggregate[ProcessState] = Aggregate("sales_process", ProcessState(), evolve_process)
CLAIM: Aggregate[Claim] = Aggregate("opportunity_external", Claim(), _claimed)
