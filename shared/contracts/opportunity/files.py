"""Files attached to an opportunity, as what shows that something is so: stream `opportunity-<id>`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.event import Event
from shared.contracts.opportunity.contract import CONTRACT, Code, EntityId, NoZero, Text

FileName = Annotated[str, Field(min_length=1, max_length=255, examples=["拜访报告 2026-03-12.pdf"]), NoZero]
MediaType = Annotated[
    str,
    Field(
        max_length=127,
        pattern=r"^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$",
        examples=["application/pdf"],
    ),
]
Sha256 = Annotated[
    str,
    Field(pattern=r"^[0-9a-f]{64}$", examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]),
]


class Shown(BaseModel):
    """The milestone or success criterion of a stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: int = Field(ge=1)
    kind: Literal["milestone", "criterion"]
    code: Code


@CONTRACT.event("opportunity.file_attached")
class FileAttached(Event):
    """The bytes are kept under their digest. `size` in bytes; `shows`: what was on record already, and is evidenced by this too."""

    file_id: EntityId
    name: FileName
    media_type: MediaType
    size: int = Field(ge=1)
    sha256: Sha256
    note: Text | None = None
    shows: Shown | None = None
