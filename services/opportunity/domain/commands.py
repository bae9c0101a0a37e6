"""What all commands on opportunities and processes share."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Command(BaseModel):
    """An order in the imperative; also the body of its HTTP route. `occurred_at`: when it was so in business, default now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    occurred_at: AwareDatetime | None = Field(default=None, examples=["2026-03-12T10:00:00+08:00"])
