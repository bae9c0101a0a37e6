"""Targets (R2) as dated facts: stream `target-<kind>-<holder>-<period>`."""

from datetime import date
from typing import Literal

from pydantic import Field

from shared.contracts.event import Event
from shared.contracts.opportunity.contract import CONTRACT, EntityId, Text
from shared.contracts.opportunity.forecast import PeriodLabel
from shared.kit.money import Money

HolderKind = Literal["person", "team", "company"]


@CONTRACT.event("opportunity.target_set", stream="target")
class TargetSet(Event):
    """What is to be won within a period, in a currency, from `occurred_at` on; 0: nothing is asked any more. The company has no
    `holder_id`. The days are those of the period by the business calendar of then."""

    holder_kind: HolderKind
    holder_id: EntityId | None = None
    period: PeriodLabel
    first_day: date
    last_day: date
    amount: Money = Field(examples=[{"minor": 3_000_000_00, "currency": "CNY"}])
    note: Text | None = None
