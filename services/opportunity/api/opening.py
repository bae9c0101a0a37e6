"""Opening opportunities: one, many, or by the id that another system knows it by."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.opportunity.api.references import Known, OrganisationNow
from services.opportunity.api.roles import MAY_COMMAND, MIGRATING
from services.opportunity.api.stops import held_to_gates
from services.opportunity.commands import Acting, claim_id, open_opportunity, upsert
from services.opportunity.domain.opportunity.opening import OpenOpportunity
from services.opportunity.entities import CLAIM
from services.opportunity.visibility import within
from shared.contracts.refusal import Reason, RefusedError
from shared.eventstore.commands import Decide, Work
from shared.eventstore.types import JsonObject
from shared.web.commanding import ANSWERS, LARGEST_BATCH, POSITION, PROBLEMS, BatchAnswer, Commander, Commanding

router = APIRouter(tags=["opportunities: opening"], dependencies=[MAY_COMMAND])
_EXAMPLE = {
    "name": "Bottling line 3 · 灌装三线",
    "amount": {"minor": 125_000_00, "currency": "CNY"},
    "close_date": "2026-09-30",
    "external_ids": {"crm": "1C1I7A6R"},
}
Opening = Annotated[OpenOpportunity, Body(openapi_examples={"example": {"value": _EXAMPLE}})]
System = Annotated[str, Path(min_length=1, max_length=40, description="The other system.", examples=["crm"])]
ExternalId = Annotated[str, Path(min_length=1, max_length=200, description="Its id there.", examples=["1C1I7A6R"])]


class Openings(BaseModel):
    """Up to 500 opportunities to open; each is taken or refused for itself."""

    model_config = ConfigDict(extra="forbid")

    items: list[Annotated[OpenOpportunity | Any, Field(union_mode="left_to_right")]] = Field(
        min_length=1, max_length=LARGEST_BATCH, examples=[[_EXAMPLE]]
    )


class Unreadable(BaseModel):
    """An item that is no opportunity at all: kept as it came, to be refused in its place."""

    content: Any


@router.post(
    "/opportunities", status_code=201, summary="Open an opportunity", operation_id="open_opportunity", **ANSWERS
)
async def open_one(body: Opening, request: Request, command: Commanding, organisation: OrganisationNow) -> Response:
    """A seller who names no owner owns it."""
    known = await organisation.known([body])
    return await command.run(body, _opening(body, command, known), status=201, location=_location(request))


@router.post(
    "/opportunities:batch", summary="Open many opportunities", operation_id="open_opportunities", responses=PROBLEMS
)
async def open_many(
    body: Openings, response: Response, command: Commanding, organisation: OrganisationNow
) -> BatchAnswer:
    """Every item is a command of its own; with an `Idempotency-Key` k, item i has the key k/i."""
    readable = [item for item in body.items if isinstance(item, OpenOpportunity)]
    known = await organisation.known(readable)
    bodies = [item if isinstance(item, OpenOpportunity) else Unreadable(content=item) for item in body.items]
    answer = await command.batch(bodies, [_item(one, command, known) for one in bodies])
    if answer.position:
        response.headers[POSITION] = answer.position
    return answer


@router.put(
    "/opportunities/by-external/{system}/{external_id:path}",
    summary="Open it, or change what differs",
    operation_id="put_opportunity_by_external",
    **ANSWERS | {"responses": {**PROBLEMS, 201: {"description": "it was opened"}}},
)
async def put_by_external(
    system: System,
    external_id: ExternalId,
    body: Opening,
    request: Request,
    command: Commanding,
    organisation: OrganisationNow,
) -> Response:
    """Fields that are left out stay as they are; `null` empties account, owner and team. Said twice, nothing happens. What
    `integration` and `operations` say happened in the other system: gates and authority matrix bind everybody else."""
    known = await organisation.known([body])

    async def decide(work: Work) -> JsonObject:
        known.check([body])
        claim = (await work.state(CLAIM, claim_id(system, external_id))).state
        wanted = body if claim.opportunity_id else _owned(body, command)
        may = within(command.scope)
        return _told(await upsert(work, system, external_id, wanted, may, acting=acting, calendar=calendar))

    calendar = command.backend.calendar
    acting = None if command.caller.roles & MIGRATING else Acting(command.caller.roles, calendar)
    with_gates = partial(command.run, body, decide, status=201, location=_location(request))
    return await held_to_gates(with_gates, body, command, request)


def _opening(body: OpenOpportunity, command: Commander, known: Known) -> Decide:
    async def decide(work: Work) -> JsonObject:
        known.check([body])
        return _told(await open_opportunity(work, _owned(body, command), within(command.scope)))

    return decide


def _item(item: OpenOpportunity | Unreadable, command: Commander, known: Known) -> Decide:
    if isinstance(item, OpenOpportunity):
        return _opening(item, command, known)
    refusal = RefusedError(_faults(item.content), "input")

    async def refused(_: Work) -> JsonObject:
        raise refusal

    return refused


def _faults(content: Any) -> tuple[Reason, ...]:
    try:
        OpenOpportunity.model_validate(content)
    except ValidationError as error:
        found: Sequence[Any] = error.errors(include_url=False, include_context=False, include_input=False)
        return tuple(Reason(one["type"], _said(one), ".".join(str(part) for part in one["loc"])) for one in found[:50])
    raise AssertionError("an item that can be read was taken for one that cannot")


def _said(fault: Any) -> str:
    return ".".join(str(part) for part in fault["loc"]) + ": " + str(fault["msg"]).removeprefix("Value error, ")


def _owned(body: OpenOpportunity, command: Commander) -> OpenOpportunity:
    """With the caller as its owner where none is named and the caller only sees what is theirs."""
    if command.caller.sees_everything or "owner_id" in body.model_fields_set:
        return body
    return body.model_copy(update={"owner_id": command.scope.person_id})


def _told(answer: JsonObject) -> JsonObject:
    return {"id": answer["opportunity_id"], "created": answer["created"]}


def _location(request: Request) -> str:
    return f"{request.scope.get('root_path', '')}/opportunities/"
