"""Attached files as they are told: in brief beside what they show, in full in their own list."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from pydantic import BaseModel

from services.opportunity.domain.opportunity.state import EvidenceKey, OpportunityState
from services.opportunity.queries.files import Attached
from shared.contracts.opportunity import FileAttached, Shown


class FileLink(BaseModel):
    """`size` in bytes. `href`: where the file is."""

    id: str
    name: str
    media_type: str
    size: int
    href: str


class FileItem(FileLink):
    """`sha256` is also the file's ETag. `shows`: the milestone or success criterion that it was attached to."""

    sha256: str
    note: str | None
    shows: Shown | None
    attached_at: datetime
    attached_by: str


def file_link(root: str, opportunity_id: str, file: FileAttached) -> FileLink:
    return FileLink(
        id=file.file_id,
        name=file.name,
        media_type=file.media_type,
        size=file.size,
        href=f"{root}/opportunities/{opportunity_id}/files/{file.file_id}",
    )


def file_links(root: str, opportunity_id: str, files: Iterable[FileAttached]) -> list[FileLink]:
    return [file_link(root, opportunity_id, file) for file in files]


def file_item(root: str, opportunity_id: str, found: Attached) -> FileItem:
    file = found.file
    return FileItem(
        **file_link(root, opportunity_id, file).model_dump(),
        sha256=file.sha256,
        note=file.note,
        shows=file.shows,
        attached_at=found.attached_at,
        attached_by=found.attached_by,
    )


def showing(state: OpportunityState, key: EvidenceKey) -> Sequence[FileAttached]:
    """The files that the evidence names, and those that were attached to it later."""
    named = [state.files[one] for one in state.evidence[key].files if one in state.files]
    stage, kind, code = key
    shown = Shown(stage=stage, kind=kind, code=code)
    return [*named, *(one for one in state.files.values() if one.shows == shown and one not in named)]
