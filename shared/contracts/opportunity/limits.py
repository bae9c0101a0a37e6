"""From where on something is abnormal (R2), as data: every version a fact, stream `anomaly_limits-<key>`."""

from pydantic import Field

from shared.contracts.event import Event
from shared.contracts.opportunity.contract import CONTRACT, Code
from shared.contracts.opportunity.process import Part
from shared.kit.money import Money


class StageLimit(Part):
    """How many days an opportunity may stand in this selling stage."""

    process: Code = Field(default="default", examples=["default"])
    stage: Code = Field(examples=["discovery"])
    days: int = Field(ge=1, le=3_650)


class NormalLimits(Part):
    """What both the command and the event say, each field as the event explains it."""

    stages: tuple[StageLimit, ...] = Field(default=(), max_length=400)
    other_stages_days: int | None = Field(default=None, ge=1, le=3_650)
    pushed_out: int = Field(ge=1, le=100)
    out_of_sync_by: int = Field(default=1, ge=1, le=40)
    big: tuple[Money, ...] = Field(default=(), max_length=200)
    early_below: int = Field(ge=0, le=100)
    near_close_days: int = Field(ge=0, le=3_650)
    pile_up_count: int = Field(ge=2, le=10_000)
    pile_up_share: int = Field(ge=1, le=100)
    nothing_new_days: int = Field(ge=1, le=3_650)


@CONTRACT.event("opportunity.anomaly_limits_defined", stream="anomaly_limits")
class AnomalyLimitsDefined(NormalLimits, Event):
    """A version of the limits.

    `other_stages_days`: for stages that `stages` does not name; none: without limit. `pushed_out`: so many times is slipping.
    `out_of_sync_by`: so many stages between selling and buying. `big`: from this amount on, one per currency. `early_below`:
    the per cent of the completed stage below which an opportunity is early, `near_close_days` before its close date. A person's
    opportunities pile up when at least `pile_up_count` of them, and `pile_up_share` per cent, stand in one stage.
    `nothing_new_days`: so long a person may open none.
    """

    key: Code
    version: int = Field(ge=1)
