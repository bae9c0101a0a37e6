"""Attaching files, and naming them as evidence (R1)."""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from services.opportunity.domain.commands import Command
from services.opportunity.domain.opportunity.state import OpportunityState
from shared.contracts.event import Event
from shared.contracts.opportunity import EntityId, Evidence, FileAttached, FileName, MediaType, Sha256, Shown, Text
from shared.contracts.refusal import Reason, RefusedError, refuse
from shared.kit.ids import derived_id

MOST_FILES = 200
"""Of one opportunity: its stream stays short."""
_FILES = UUID("9d1f6f0e-2f0b-4b57-8a53-6c1d5f8e0a42")
_TURNING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
"""Characters that show what follows in the other direction: `exe.pdf` may then be `fdp.exe`."""


def _safe(name: str) -> str:
    """In one spelling (NFC). A name is what people see, never a path."""
    name = unicodedata.normalize("NFC", name).strip()
    if not name or set(name) <= {"."}:
        raise ValueError("a file's name is more than dots and blanks")
    if any(
        letter in "/\\" or unicodedata.category(letter) in ("Cc", "Cs") or ord(letter) in _TURNING for letter in name
    ):
        raise ValueError("a file's name has no slashes, no control characters and none that turn the writing round")
    return name


def file_id_of(opportunity_id: str, sha256: str, name: str, shows: Shown | None) -> str:
    """The same for the same bytes under the same name, attached to show the same: who attaches it again finds it there."""
    of = "" if shows is None else f"{shows.stage}/{shows.kind}/{shows.code}"
    return str(derived_id(_FILES, f"{opportunity_id}/{sha256}/{of}/{name}"))


SafeName = Annotated[FileName, AfterValidator(_safe)]


class AttachFile(Command):
    """`file_id`: see `file_id_of`. `shows`: what is on record already, and is evidenced by this file too."""

    action: Literal["file"] = "file"
    file_id: EntityId
    name: SafeName
    media_type: MediaType
    size: int = Field(ge=1)
    sha256: Sha256
    note: Text | None = None
    shows: Shown | None = None


def decide_file(state: OpportunityState, command: AttachFile, _: datetime) -> Sequence[Event]:
    """Nothing to do when the same bytes are attached under the same name already."""
    shows = command.shows
    if shows is not None and (shows.stage, shows.kind, shows.code) not in state.evidence:
        raise refuse(
            "not_evidenced",
            f"{shows.kind} {shows.code!r} of stage {shows.stage} is not on record: nothing that the file could show",
            field=shows.kind,
            expected="attach the file alone, then name it in the evidence",
        )
    if command.file_id in state.files:
        return []
    if len(state.files) >= MOST_FILES:
        raise refuse(
            "too_many_files", f"{MOST_FILES} files are attached, which is the most", expected="an archive of them"
        )
    said = command.model_dump(exclude={"action", "occurred_at", "shows"})
    return [FileAttached(**said, shows=shows)]


def check_files(state: OpportunityState, evidence: Evidence | None) -> None:
    """Refuses (kind input) evidence of kind file that names none, and every file that is not attached here."""
    if evidence is not None and (reasons := tuple(_faults(state, evidence))):
        raise RefusedError(reasons, "input")


def _faults(state: OpportunityState, evidence: Evidence) -> Iterator[Reason]:
    expected = "the id of a file of this opportunity: POST /opportunities/{id}/files gives it"
    if evidence.kind == "file" and not evidence.files:
        yield Reason("no_file", "evidence of kind file names the file", "evidence.files", expected)
    for index, file_id in enumerate(evidence.files):
        if file_id not in state.files:
            fault = f"no file {file_id} is attached to this opportunity"
            yield Reason("unknown_file", fault, f"evidence.files.{index}", expected)
