"""What an opportunity is about and whose it is: stream `opportunity-<id>`, and the claims on external ids."""

from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.event import Event
from shared.contracts.opportunity.contract import CONTRACT, Code, EntityId, Text
from shared.kit.money import Money


class LineItem(BaseModel):
    """A product line. `unit_price` is after discount; quantity in whole pieces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    product_id: EntityId
    quantity: int = Field(default=1, ge=1, le=1_000_000_000)
    unit_price: Money | None = None


@CONTRACT.event("opportunity.opened")
class OpportunityOpened(Event):
    """A chance to sell is on record, under a version of a sales process. Nobody and nothing may be known yet but its name."""

    name: Text = Field(examples=["Bottling line 3 · 灌装三线"])
    process: Code = Field(examples=["default"])
    process_version: int = Field(ge=1)
    account_id: EntityId | None = None
    owner_id: EntityId | None = None
    team_id: EntityId | None = None
    amount: Money | None = None
    close_date: date | None = None
    line_items: tuple[LineItem, ...] = ()
    origin: str | None = Field(default=None, max_length=200, examples=["import:crm"])


@CONTRACT.event("opportunity.renamed")
class OpportunityRenamed(Event):
    name: Text


@CONTRACT.event("opportunity.account_assigned")
class AccountAssigned(Event):
    """Whose need it is; none: no longer known."""

    account_id: EntityId | None = None


@CONTRACT.event("opportunity.owner_assigned")
class OwnerAssigned(Event):
    """Who of us answers for it from `occurred_at` on; none: nobody."""

    owner_id: EntityId | None = None
    former_id: EntityId | None = None


@CONTRACT.event("opportunity.team_assigned")
class TeamAssigned(Event):
    team_id: EntityId | None = None
    former_id: EntityId | None = None


@CONTRACT.event("opportunity.amount_estimated")
class AmountEstimated(Event):
    """The first amount, or one in another currency than before."""

    amount: Money
    former: Money | None = None


@CONTRACT.event("opportunity.amount_raised")
class AmountRaised(Event):
    amount: Money
    former: Money


@CONTRACT.event("opportunity.amount_reduced")
class AmountReduced(Event):
    amount: Money
    former: Money


@CONTRACT.event("opportunity.close_date_set")
class CloseDateSet(Event):
    """The first expected close date."""

    close_date: date


@CONTRACT.event("opportunity.close_date_pushed_out")
class CloseDatePushedOut(Event):
    close_date: date
    former: date


@CONTRACT.event("opportunity.close_date_pulled_in")
class CloseDatePulledIn(Event):
    close_date: date
    former: date


@CONTRACT.event("opportunity.line_items_agreed")
class LineItemsAgreed(Event):
    """The product lines as they are now, complete."""

    line_items: tuple[LineItem, ...]


@CONTRACT.event("opportunity.commented")
class Commented(Event):
    text: Text


@CONTRACT.event("opportunity.flagged")
class OpportunityFlagged(Event):
    """What is doubtful about it, for somebody to look at; complete: no flags, no doubts left."""

    flags: tuple[Code, ...] = Field(examples=[["no_account", "product_spelling"]])


@CONTRACT.event("opportunity.external_id_linked")
class ExternalIdLinked(Event):
    """Another system knows this opportunity under an id; one id per system."""

    system: str = Field(examples=["crm"])
    external_id: str = Field(examples=["1C1I7A6R"])


@CONTRACT.event("opportunity.external_id_claimed", stream="opportunity_external")
class ExternalIdClaimed(Event):
    """Stream `opportunity_external-<system>:<id>`: the id names this opportunity, and no other, from now on."""

    opportunity_id: EntityId
