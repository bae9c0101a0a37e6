"""Files attached to an opportunity: take one in, list them, give one out."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.opportunity.api.asking import AskingNow
from services.opportunity.api.changing import OpportunityId
from services.opportunity.api.cursors import after_of
from services.opportunity.api.file_items import FileItem, file_item
from services.opportunity.api.page import check_seen
from services.opportunity.api.roles import MAY_COMMAND, MAY_READ
from services.opportunity.commands import change
from services.opportunity.domain.opportunity.files import AttachFile, SafeName, file_id_of
from services.opportunity.entities import OPPORTUNITY
from services.opportunity.queries import files as queries
from services.opportunity.visibility import within
from shared.contracts.opportunity import Code, EntityId, Shown, Text
from shared.contracts.refusal import refuse
from shared.eventstore.commands import Work
from shared.eventstore.types import JsonObject
from shared.web.commanding import ANSWERS, PROBLEMS, Commanding
from shared.web.files import BODY, FILE, FilesNow, attachment, media_type_of, uploaded
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page, page_of
from shared.web.problems import bad_request
from shared.web.reading import PlainText

router = APIRouter(tags=["opportunities: changing"], dependencies=[MAY_COMMAND])
reading = APIRouter(tags=["opportunities: reading"], dependencies=[MAY_READ])
FileId = Annotated[EntityId, Path(description="The file.")]
Sort = Literal["attached", "-attached", "name", "-name", "size", "-size"]
_VERSION = Annotated[int, Field(ge=0, le=2**31 - 1)]
_VALUES: dict[queries.SortBy, Sequence[Any]] = {
    "attached": (_VERSION,),
    "name": (PlainText, _VERSION),
    "size": (Annotated[int, Field(ge=0, le=2**62)], _VERSION),
}


class FilesQuery(BaseModel):
    """In which order, which page."""

    model_config = ConfigDict(extra="forbid")

    sort: Sort = Field(default="-attached", description="A leading minus: downwards.")
    cursor: CursorText = None
    limit: Limit = DEFAULT_LIMIT


class FileTotals(BaseModel):
    """`size`: bytes of all together."""

    count: int
    size: int


class FileList(Page[FileItem]):
    """`totals` count all pages."""

    totals: FileTotals


@router.post("/opportunities/{opportunity_id}/files", status_code=201, summary="Attach a file", operation_id="attach_file",
             openapi_extra=BODY, **ANSWERS | {"responses": {**PROBLEMS, 200: {"description": "it was there already"}}})  # fmt: skip
async def attach(
    opportunity_id: OpportunityId,
    request: Request,
    command: Commanding,
    files: FilesNow,
    name: Annotated[SafeName, Query(description="What people call it; no path.", examples=["拜访报告.pdf"])],
    note: Annotated[Text | None, Query(description="What is in it.")] = None,
    stage: Annotated[int | None, Query(ge=1, le=40, description="Of the milestone or criterion.")] = None,
    milestone: Annotated[Code | None, Query(description="On record already: the file shows it too.")] = None,
    criterion: Annotated[Code | None, Query(description="On record already: the file shows it too.")] = None,
) -> Response:
    """The body is the file itself, under its own `Content-Type`. Its `id` is what evidence names in `files`; the `ETag` of the
    answer is that of the opportunity. Attached twice, it is there once."""
    shows, media_type = _shown(stage, milestone, criterion), media_type_of(request)
    async with uploaded(request, files, command.backend.largest_file) as received:
        attached = AttachFile(
            file_id=file_id_of(opportunity_id, received.sha256, name, shows),
            name=name,
            media_type=media_type,
            size=received.size,
            sha256=received.sha256,
            note=note,
            shows=shows,
        )

        async def decide(work: Work) -> JsonObject:
            before = (await work.state(OPPORTUNITY, opportunity_id, must_exist=True)).state
            await change(work, opportunity_id, [attached], within(command.scope))
            known = attached.file_id in before.files
            return {"id": attached.file_id, "created": not known, "opportunity_id": opportunity_id}

        trial = replace(command, context=replace(command.context, dry_run=True))
        tried = await trial.outcome(attached, decide)  # nothing is kept for whom it is refused
        if not (command.context.dry_run or tried.replayed):
            await files.put(received)
    return await command.run(
        attached, decide, status=201, location=f"{_root(request)}/opportunities/{opportunity_id}/files/"
    )


@reading.get("/opportunities/{opportunity_id}/files", summary="Files of an opportunity", operation_id="files",
             responses=PROBLEMS)  # fmt: skip
async def listed(opportunity_id: OpportunityId, ask: Annotated[FilesQuery, Query()], asking: AskingNow) -> FileList:
    """What is attached to it, with the sum of their sizes."""
    await check_seen(opportunity_id, asking)
    by: queries.SortBy = "name" if "name" in ask.sort else "size" if "size" in ask.sort else "attached"
    question = ["files", opportunity_id, ask.sort]
    after = after_of(question, ask.cursor, *_VALUES[by])
    found = await queries.files(asking.connection, opportunity_id, by, ask.sort.startswith("-"), ask.limit + 1, after)
    rows, cursor = page_of(found, ask.limit, question, lambda one: _sorted_by(one, by))
    count, size = await queries.totals(asking.connection, opportunity_id)
    return FileList(
        items=[file_item(asking.root, opportunity_id, one) for one in rows],
        next_cursor=cursor,
        totals=FileTotals(count=count, size=size),
    )


@reading.get("/opportunities/{opportunity_id}/files/{file_id}", summary="A file", operation_id="file",
             response_class=Response,
             responses={**PROBLEMS, 200: {"content": FILE}, 304: {"description": "the caller has it"}})  # fmt: skip
async def one(
    opportunity_id: OpportunityId, file_id: FileId, request: Request, asking: AskingNow, files: FilesNow
) -> Response:
    """Under the `Content-Type` that it came with, to be saved, not shown. `If-None-Match` with its `ETag` spares the bytes."""
    await check_seen(opportunity_id, asking)
    found = await queries.file(asking.connection, opportunity_id, file_id)
    if found is None:
        raise refuse("not_found", f"the opportunity has no file {file_id}", expected="see its /files", kind="missing")
    file = found.file
    return await attachment(request, files, file.sha256, file.size, file.name, file.media_type)


def _shown(stage: int | None, milestone: str | None, criterion: str | None) -> Shown | None:
    if stage is None and milestone is None and criterion is None:
        return None
    if stage is None or (milestone is None) == (criterion is None):
        wrong = "what a file shows is a milestone or a criterion, of a stage"
        raise bad_request("bad_shown", wrong, field="stage", expected="stage with either milestone or criterion")
    if milestone is not None:
        return Shown(stage=stage, kind="milestone", code=milestone)
    return Shown(stage=stage, kind="criterion", code=criterion or "")


def _sorted_by(one: queries.Attached, by: queries.SortBy) -> list[Any]:
    if by == "attached":
        return [one.version]
    return [one.file.name if by == "name" else one.file.size, one.version]


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", ""))
