"""The service that the tests of the web kit share: a desk where enquiries are opened, renamed and closed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Body, Depends, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Column, Text, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.event import Contract, Event, Recorded
from shared.contracts.refusal import refuse
from shared.eventstore.aggregate import Aggregate
from shared.eventstore.commands import Decide, Work
from shared.eventstore.types import JsonObject
from shared.projections.definition import Projection, Rows
from shared.service.definition import Service
from shared.service.visibility import NOTHING, Scope
from shared.testing.apps import RunningService, running
from shared.web.auth import needs
from shared.web.commanding import ANSWERS, PROBLEMS, BatchAnswer, Commanding, ScopeNow, etag
from shared.web.paging import CursorText, Limit, Page, decode_cursor, page_of
from shared.web.problems import ProblemError
from shared.web.reading import PlainText, reading

DESK = Contract("desk")


@DESK.event("desk.enquiry_opened")
class EnquiryOpened(Event):
    """Somebody asks."""

    title: str
    owner: str


@DESK.event("desk.enquiry_renamed")
class EnquiryRenamed(Event):
    title: str


@DESK.event("desk.enquiry_closed")
class EnquiryClosed(Event):
    """Answered."""


@dataclass(frozen=True)
class State:
    title: str = ""
    closed: bool = False


def _evolve(state: State, recorded: Recorded[Any]) -> State:
    match recorded.event:
        case EnquiryOpened(title=title) | EnquiryRenamed(title=title):
            return State(title, state.closed)
        case EnquiryClosed():
            return State(state.title, closed=True)
    return state


ENQUIRY = Aggregate("enquiry", State(), _evolve)

enquiry_list = Projection("enquiry_list", sources=[DESK])
enquiry = enquiry_list.table(
    "enquiry",
    Column("enquiry_id", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("version", sa.Integer, nullable=False),
)


@enquiry_list.on(EnquiryOpened)
def _opened(rows: Rows, e: Recorded[EnquiryOpened]) -> None:
    rows.put(
        enquiry,
        {"enquiry_id": e.entity_id, "title": e.event.title, "owner": e.event.owner, "version": e.version},
    )


@enquiry_list.on(EnquiryRenamed)
def _renamed(rows: Rows, e: Recorded[EnquiryRenamed]) -> None:
    row = rows.one(enquiry, e.entity_id)
    if row is not None:
        rows.put(enquiry, row | {"title": e.event.title, "version": e.version})


async def find(connection: AsyncConnection, subject: str, _: datetime) -> Scope:
    """Who owns an enquiry is known; everybody sees what they own."""
    known = await connection.scalar(select(enquiry.c.owner).where(enquiry.c.owner == subject).limit(1))
    return Scope(everything=False, people=frozenset({subject}), person_id=subject) if known else NOTHING


class Opening(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: PlainText = Field(max_length=100)
    title: str = Field(min_length=1, max_length=200)
    owner: str = "operator"


class Renaming(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str
    occurred_at: datetime | None = None


class EnquiryItem(BaseModel):
    enquiry_id: str
    title: str
    owner: str


router = APIRouter(tags=["enquiries"])
Read = Annotated[AsyncConnection, Depends(reading(enquiry_list), scope="function")]


def opening(body: Opening) -> Decide:
    async def decide(work: Work) -> JsonObject:
        found = await work.state(ENQUIRY, body.id)
        if found.exists:
            raise refuse("already_there", f"there is an enquiry {body.id}", field="id", expected="another id")
        if body.title == "?":
            raise RuntimeError("nobody foresaw hunter2 here")
        work.append(ENQUIRY, body.id, EnquiryOpened(title=body.title, owner=body.owner))
        return {"id": body.id, "created": True}

    return decide


@router.post("/enquiries", status_code=201, **ANSWERS)
async def open_one(body: Opening, command: Commanding) -> Response:
    return await command.run(body, opening(body), status=201, location="/enquiries/")


@router.post("/enquiries:batch", responses=PROBLEMS)
async def open_many(bodies: Annotated[list[Opening], Body()], command: Commanding) -> BatchAnswer:
    return await command.batch(bodies, [opening(body) for body in bodies])


@router.post("/enquiries/{enquiry_id}/title", **ANSWERS)
async def rename(enquiry_id: str, body: Renaming, command: Commanding) -> Response:
    async def decide(work: Work) -> JsonObject:
        found = await work.state(ENQUIRY, enquiry_id, must_exist=True)
        if found.state.title != body.title:
            work.append(ENQUIRY, enquiry_id, EnquiryRenamed(title=body.title))
        return {"id": enquiry_id}

    return await command.run(body, decide)


@router.get("/enquiries", responses=PROBLEMS)
async def listed(
    read: Read, scope: ScopeNow, limit: Limit = 50, cursor: CursorText = None, owner: str | None = None
) -> Page[EnquiryItem]:
    question = ["enquiries", owner]
    after = decode_cursor(question, cursor, 1)
    statement = select(enquiry).order_by(enquiry.c.enquiry_id).limit(limit + 1)
    if not scope.everything:
        statement = statement.where(enquiry.c.owner.in_(scope.people))
    if owner is not None:
        statement = statement.where(enquiry.c.owner == owner)
    if after is not None:
        statement = statement.where(enquiry.c.enquiry_id > after[0])
    rows = (await read.execute(statement)).mappings().all()
    page, following = page_of(rows, limit, question, lambda row: [row["enquiry_id"]])
    return Page(items=[EnquiryItem.model_validate(dict(row)) for row in page], next_cursor=following)


@router.get("/enquiries/{enquiry_id}", responses=PROBLEMS)
async def one(enquiry_id: str, read: Read, response: Response) -> EnquiryItem:
    row = (await read.execute(select(enquiry).where(enquiry.c.enquiry_id == enquiry_id))).mappings().first()
    if row is None:
        raise ProblemError(404, "not_found", f"there is no enquiry {enquiry_id}")
    response.headers.update(etag(row["version"]))
    return EnquiryItem.model_validate(dict(row))


@router.get("/boom", dependencies=[Depends(needs("operations"))])
async def boom() -> None:
    raise RuntimeError("the password is hunter2")


SERVICE = Service(
    name="desk",
    title="Desk",
    description="Enquiries.",
    contract=DESK,
    projections=(enquiry_list,),
    routers=(router,),
    find=find,
    found_in=(enquiry_list,),
)


@asynccontextmanager
async def desk(database: str, *, worker: bool = True) -> AsyncIterator[RunningService]:
    """The service on one database for store, read models and log."""
    async with running(SERVICE, database, database, worker=worker) as service:
        yield service
