"""How an opportunity ends, rests and comes back (R1: outcomes, not stages): stream `opportunity-<id>`."""

from pydantic import Field

from shared.contracts.event import Event
from shared.contracts.opportunity.contract import CONTRACT, Evidence, Text
from shared.kit.money import Money


@CONTRACT.event("opportunity.won")
class OpportunityWon(Event):
    """The customer signed. `amount`: what for."""

    amount: Money | None = None
    evidence: Evidence


@CONTRACT.event("opportunity.lost")
class OpportunityLost(Event):
    """Somebody else got it, or nobody. `price`: the competitor's, if known."""

    reason: Text
    competitor: str | None = Field(default=None, max_length=200)
    price: Money | None = None


@CONTRACT.event("opportunity.abandoned")
class OpportunityAbandoned(Event):
    """We gave it up."""

    reason: Text


@CONTRACT.event("opportunity.paused")
class OpportunityPaused(Event):
    reason: Text


@CONTRACT.event("opportunity.resumed")
class OpportunityResumed(Event):
    """It goes on where it was paused."""


@CONTRACT.event("opportunity.reopened")
class OpportunityReopened(Event):
    """An ended opportunity lives again. What was won comes back before its last stage: that it regressed is told beside this."""

    reason: Text
