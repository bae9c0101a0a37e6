"""Bulk load from CSV: `POST /accounts/csv` and so on. Each row is a command of its own."""

import asyncio
from email.message import Message
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from services.account.api.asking import HOUSE_ROLES
from services.account.domain.values import System
from services.account.loading.kinds import LOADABLE, Loadable
from services.account.loading.rows import ReadRows, read_rows
from services.account.loading.run import Result, run_items
from services.account.loading.table import MOST_ROWS, read_table
from shared.eventstore.commands import Outcome
from shared.web.auth import needs
from shared.web.commanding import PROBLEMS, Commander, Commanding, furthest
from shared.web.middleware import LARGEST_TABLE
from shared.web.problems import Problem, ProblemError, answer_to, tell

router = APIRouter()
MEDIA_TYPE = "text/csv"
DESCRIPTION = """A table in UTF-8 with a header, at most {rows:,} rows and {size} MiB. Columns: {columns}.

A column that is not there leaves its field as it is; an empty cell takes it away. Lists are divided by semicolons.
With `system`, `external_id` says which row of that system it is: made if new, else changed where it differs.
Parents may come later in the file. Rows are carried out one by one, under the key `<Idempotency-Key>/<line>`: those that
are refused do not keep the others from being taken.
"""

SystemOfTable = Annotated[
    System | None,
    Query(description="The system whose ids `external_id`, `parent` and the like are.", examples=["crm"]),
]


class RowAnswer(BaseModel):
    """`line`: where the row begins in the file. `status`: what it would have got alone. `changed`: something was recorded."""

    line: int = Field(examples=[2])
    status: int = Field(examples=[201])
    id: str | None = None
    changed: bool = False
    problem: Problem | None = None


class TableAnswer(BaseModel):
    """`created + changed + unchanged + refused = rows`."""

    rows: int
    created: int
    changed: int
    unchanged: int
    refused: int
    dry_run: bool
    position: str | None
    items: list[RowAnswer]


def _add(kind: Loadable, *roles: str) -> None:
    columns = ", ".join(f"`{name}`" for name in kind.columns)

    @router.post(
        f"/{kind.path}/csv",
        summary=f"Load {kind.path} from a CSV table",
        description=DESCRIPTION.format(rows=MOST_ROWS, size=LARGEST_TABLE // 1024**2, columns=columns),
        tags=[kind.path],
        operation_id=f"load_{kind.path}",
        dependencies=[Depends(needs(*roles))],
        responses=PROBLEMS | {415: {"model": Problem, "description": "not CSV"}},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": kind.example}},
            }
        },
    )
    async def load(request: Request, command: Commanding, system: SystemOfTable = None) -> TableAnswer:
        _check_media_type(request.headers.get("content-type", ""))
        content = await request.body()
        # Parsing takes its time: let others have the event loop meanwhile.
        read = await asyncio.to_thread(_read, kind, content, system)
        return await _answer(command, read, await run_items(command, read.items))


def _read(kind: Loadable, content: bytes, system: str | None) -> ReadRows:
    table = read_table(content)
    kind.check(table.columns, system)
    return read_rows(kind, table, system)


def _check_media_type(content_type: str) -> None:
    said = Message()
    said["Content-Type"] = content_type
    if said.get_content_type() != MEDIA_TYPE or said.get_content_charset("utf-8") not in ("utf-8", "utf8"):
        raise ProblemError(
            415, "unsupported_media_type", f"Content-Type {content_type[:100]!r} is not `text/csv` in UTF-8"
        )


async def _answer(command: Commander, read: ReadRows, results: list[Result]) -> TableAnswer:
    positions: list[str] = []
    rows = [_refused(command, line, error) for line, error in read.wrong.items()]
    for item, result in zip(read.items, results, strict=True):
        if not isinstance(result, Outcome):
            rows.append(_refused(command, item.number, result))
            continue
        answer = await command.answer(result)
        if answer["position"]:
            positions.append(answer["position"])
        status = 201 if answer["created"] else 200
        rows.append(RowAnswer(line=item.number, status=status, id=answer["id"], changed=bool(answer["events"])))
    rows.sort(key=lambda row: row.line)
    created = sum(row.status == 201 for row in rows)
    refused = sum(row.problem is not None for row in rows)
    changed = sum(row.changed for row in rows) - created
    return TableAnswer(
        rows=len(rows),
        created=created,
        changed=changed,
        unchanged=len(rows) - created - changed - refused,
        refused=refused,
        dry_run=command.context.dry_run,
        position=furthest(positions),
        items=rows,
    )


def _refused(command: Commander, line: int, error: Exception) -> RowAnswer:
    problem = answer_to(error, command.path)  # the other rows are done, whatever became of this one
    told = tell(problem, f"{command.path}#line={line}", command.context.correlation_id.hex)
    return RowAnswer(line=line, status=problem.status, problem=told)


for _kind in LOADABLE:
    _add(_kind, *HOUSE_ROLES)
