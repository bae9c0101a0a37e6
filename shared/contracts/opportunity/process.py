"""The sales process as data, every version a fact: stream `sales_process-<key>`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.event import Event
from shared.contracts.opportunity.contract import CONTRACT, Code, Names

FunnelState = Literal["searching", "in_funnel", "best"]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Requirement(Part):
    """A milestone or a success criterion: what must be evidenced."""

    code: Code
    names: Names


class SellingStage(Part):
    """A stage of the supplier's process. `probability`: per cent after completing it; milestones to enter, criteria to complete."""

    number: int = Field(ge=1, le=40)
    code: Code
    names: Names
    probability: int = Field(ge=0, le=100)
    milestones: tuple[Requirement, ...] = ()
    criteria: tuple[Requirement, ...] = ()


class BuyingStage(Part):
    """A stage of the customer's process, which answers the selling stage of the same number; decides the funnel state (R3)."""

    number: int = Field(ge=1, le=40)
    code: Code
    names: Names
    funnel_state: FunnelState


@CONTRACT.event("opportunity.process_defined", stream="sales_process")
class ProcessDefined(Event):
    """A version of a sales process. Opportunities keep the version they were opened under. `at_risk_gap`: how many stages
    selling may lag behind buying before the opportunity is at risk."""

    key: Code
    version: int = Field(ge=1)
    names: Names
    selling: tuple[SellingStage, ...] = Field(min_length=1, max_length=40)
    buying: tuple[BuyingStage, ...] = Field(min_length=1, max_length=40)
    at_risk_gap: int = Field(default=2, ge=1)
