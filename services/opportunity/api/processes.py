"""Sales processes: what they are, and new versions of them."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Request, Response
from pydantic import BaseModel
from sqlalchemy import RowMapping, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.api.roles import MAY_DEFINE, MAY_READ
from services.opportunity.commands import define_process
from services.opportunity.domain.process import DEFAULT_PROCESS, DefineProcess
from services.opportunity.projections.processes import definition, processes
from shared.contracts.opportunity import BuyingStage, Code, Names, ProcessDefined, SellingStage
from shared.contracts.refusal import refuse
from shared.eventstore.commands import Work
from shared.eventstore.types import JsonObject
from shared.web.commanding import ANSWERS, PROBLEMS, Commanding, etag
from shared.web.language import Language, LanguageNow, label
from shared.web.reading import reading

router = APIRouter(tags=["sales processes"])
Connection = Annotated[AsyncConnection, Depends(reading(processes), scope="function")]
Key = Annotated[Code, Path(description="The process.", examples=["default"])]
_EXAMPLE = {"Complex sale": {"value": DEFAULT_PROCESS.model_dump(mode="json", exclude={"occurred_at"})}}


class ProcessVersion(BaseModel):
    """A version of a process. Opportunities stay under the version that they were opened under."""

    version: int
    effective_from: datetime
    label: str
    names: Names
    selling: tuple[SellingStage, ...]
    buying: tuple[BuyingStage, ...]
    at_risk_gap: int


class ProcessDetail(BaseModel):
    """`versions` in order; the last one is that of new opportunities."""

    key: str
    label: str
    versions: list[ProcessVersion]


class StageName(BaseModel):
    number: int
    code: str
    label: str
    names: Names


class SellingStageName(StageName):
    """`probability`: per cent, after completing the stage."""

    probability: int


class BuyingStageName(StageName):
    funnel_state: str


class ProcessItem(BaseModel):
    """The latest version of a process, in brief."""

    key: str
    version: int
    label: str
    names: Names
    selling: list[SellingStageName]
    buying: list[BuyingStageName]


class ProcessList(BaseModel):
    items: list[ProcessItem]


@router.get(
    "/processes", summary="All sales processes", operation_id="processes", dependencies=[MAY_READ], responses=PROBLEMS
)
async def list_processes(connection: Connection, language: LanguageNow) -> ProcessList:
    """Each in its latest version."""
    other = definition.alias("other")
    last = select(func.max(other.c.version)).where(other.c.key == definition.c.key).scalar_subquery()
    latest = select(definition).where(definition.c.version == last).order_by(definition.c.key)
    rows = (await connection.execute(latest)).mappings().all()
    return ProcessList(items=[_item(ProcessDefined.model_validate(row["process"]), language) for row in rows])


@router.get(
    "/processes/{key}",
    summary="A sales process with all its versions",
    operation_id="process",
    dependencies=[MAY_READ],
    responses=PROBLEMS,
)
async def one_process(key: Key, connection: Connection, language: LanguageNow, response: Response) -> ProcessDetail:
    """Its latest version: stages, milestones, success criteria, probabilities, and the buying stages beside."""
    statement = select(definition).where(definition.c.key == key).order_by(definition.c.version)
    rows = (await connection.execute(statement)).mappings().all()
    if not rows:
        raise refuse("not_found", f"there is no sales process {key!r}", expected="see /processes", kind="missing")
    response.headers.update(etag(len(rows)))
    versions = [_version(row, language) for row in rows]
    return ProcessDetail(key=key, label=versions[-1].label, versions=versions)


@router.put(
    "/processes/{key}",
    summary="Say how a sales process is from now on",
    operation_id="define_process",
    dependencies=[MAY_DEFINE],
    **ANSWERS | {"responses": {**PROBLEMS, 201: {"description": "a new version"}}},
)
async def define(
    key: Key, body: Annotated[DefineProcess, Body(openapi_examples=_EXAMPLE)], request: Request, command: Commanding
) -> Response:
    """A new version, unless the latest says the same. Opportunities keep the version that they were opened under."""

    async def decide(work: Work) -> JsonObject:
        answer = await define_process(work, key, body)
        return {"id": key, "created": bool(work.pending), "process_version": answer["version_number"]}

    return await command.run(body, decide, status=201, location=f"{request.scope.get('root_path', '')}/processes/")


def _version(row: RowMapping, language: Language) -> ProcessVersion:
    process: dict[str, Any] = row["process"]
    defined = ProcessDefined.model_validate(process)
    return ProcessVersion(
        version=defined.version,
        effective_from=row["effective_from"],
        label=label(defined.names, language, defined.key),
        names=defined.names,
        selling=defined.selling,
        buying=defined.buying,
        at_risk_gap=defined.at_risk_gap,
    )


def _item(process: ProcessDefined, language: Language) -> ProcessItem:
    return ProcessItem(
        key=process.key,
        version=process.version,
        label=label(process.names, language, process.key),
        names=process.names,
        selling=[
            SellingStageName(label=label(one.names, language, one.code), **one.model_dump(include=_SELLING))
            for one in process.selling
        ],
        buying=[
            BuyingStageName(label=label(one.names, language, one.code), **one.model_dump(include=_BUYING))
            for one in process.buying
        ],
    )


_SELLING = {"number", "code", "names", "probability"}
_BUYING = {"number", "code", "names", "funnel_state"}
