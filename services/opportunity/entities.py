"""The kinds of streams of this service, and how each is folded."""

from dataclasses import dataclass
from typing import Any

from services.opportunity.domain.anomalies.limits import LimitsState, evolve_limits
from services.opportunity.domain.assessment.model import ModelState, evolve_model
from services.opportunity.domain.forecast.submission import Submissions, evolve_submissions
from services.opportunity.domain.forecast.targets import Targets, evolve_targets
from services.opportunity.domain.gates.book import GateBook, evolve_book
from services.opportunity.domain.gates.waiver import WaiverState, evolve_waiver
from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from services.opportunity.domain.process import ProcessState, evolve_process
from services.opportunity.domain.rates import Quoted, evolve_rates
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
ASSESSMENT_MODEL: Aggregate[ModelState] = Aggregate("assessment_model", ModelState(), evolve_model)
ANOMALY_LIMITS: Aggregate[LimitsState] = Aggregate("anomaly_limits", LimitsState(), evolve_limits)
EXCHANGE_RATE: Aggregate[Quoted] = Aggregate("exchange_rate", Quoted(), evolve_rates)
GATE_PROOFS: Aggregate[None] = Aggregate("gate_proofs", None, lambda state, _: state)
GATE_BOOK: Aggregate[GateBook] = Aggregate("gate_book", GateBook(), evolve_book)
TARGET: Aggregate[Targets] = Aggregate("target", Targets(), evolve_targets)
FORECAST: Aggregate[Submissions] = Aggregate("forecast", Submissions(), evolve_submissions)
WAIVER: Aggregate[WaiverState] = Aggregate("waiver", WaiverState(), evolve_waiver)
