"""The opportunity service's contract, and the kinds of fields its events share."""

from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from shared.contracts.event import Contract

CONTRACT = Contract("opportunity", stream="opportunity")

EntityId = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        json_schema_extra={"format": "uuid"},
        examples=["0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d"],
    ),
]
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,59}$", examples=["first_visit_held"])]


def _without_zero(text: str) -> str:
    """PostgreSQL keeps a zero character neither as text nor as JSON."""
    if "\0" in text:
        raise ValueError("a text has no zero characters")
    return text


NoZero = AfterValidator(_without_zero)
Name = Annotated[str, NoZero]
Names = Annotated[dict[Name, Name], Field(examples=[{"en": "First visit held", "zh": "完成首次拜访"}])]
Text = Annotated[str, Field(min_length=1, max_length=4_000, pattern=r"^[^\x00]*\S[^\x00]*$"), NoZero]
"""A sentence that somebody wrote: not empty, not blank."""

EvidenceKind = Literal["note", "link", "file", "asserted_at_migration"]


class Evidence(BaseModel):
    """What shows that something is so (R1): no evidence, no tick. `by` and `at` default to who records it and when it was so.
    `files`: ids of files that are attached to the opportunity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: EvidenceKind = "note"
    note: Text = Field(examples=["Visit report of 12 March: three departments present"])
    links: tuple[Annotated[str, Field(max_length=2_000, pattern=r"^https?://\S+$"), NoZero], ...] = Field(
        default=(), max_length=20, examples=[["https://files.example.com/report.pdf"]]
    )
    files: tuple[EntityId, ...] = Field(default=(), max_length=20)
    by: Annotated[str, Field(min_length=1, max_length=200), NoZero] | None = None
    at: AwareDatetime | None = None


__all__ = ["CONTRACT", "Code", "EntityId", "Evidence", "EvidenceKind", "Names", "Text"]
