"""What all commands on opportunities and processes share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.opportunity.contract import NoZero
from shared.kit.moments import Moment

Title = Annotated[
    str, Field(min_length=1, max_length=300, pattern=r"\S", examples=["Bottling line 3 · 灌装三线"]), NoZero
]
"""What something is called: short, not blank."""


class Command(BaseModel):
    """An order in the imperative; also the body of its HTTP route. `occurred_at`: when it was so in business, default now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    occurred_at: Moment | None = Field(default=None, examples=["2026-03-12T10:00:00+08:00"])
