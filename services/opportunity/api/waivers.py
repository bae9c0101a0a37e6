"""Waivers: asked for, listed, approved, refused or withdrawn (R5)."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import Field

from services.opportunity.api.asking import AskingNow
from services.opportunity.api.cursors import after_of
from services.opportunity.api.firings import Days, Version, between
from services.opportunity.api.roles import MAY_COMMAND, MAY_DECIDE_WAIVERS, MAY_READ
from services.opportunity.api.waiver_told import WaiverItem, waivers_told
from services.opportunity.domain.gates.waiver import ApproveWaiver, RefuseWaiver, RequestWaiver, Status, WithdrawWaiver
from services.opportunity.domain.gates.waiver_answer import MAY_DECIDE
from services.opportunity.gating import approve_waiver, refuse_waiver, request_waiver, withdraw_waiver
from services.opportunity.queries import waivers as queries
from services.opportunity.queries.waivers import Reader, WaiverFilters
from services.opportunity.visibility import not_yours, within
from shared.contracts.opportunity import EntityId
from shared.contracts.opportunity.gates import Key
from shared.contracts.refusal import refuse
from shared.kit.moments import Moment
from shared.service.visibility import Scope
from shared.web.auth import CallerNow
from shared.web.commanding import ANSWERS, PROBLEMS, Commanding, etag
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page, page_of
from shared.web.reading import PlainText

router = APIRouter(tags=["waivers"])
WaiverId = Annotated[EntityId, Path(description="The waiver.")]
Login = Annotated[PlainText, Field(max_length=200)]
_UUID = "0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d"
_ASKED = {
    "gate": "promise_agreed",
    "opportunity_id": _UUID,
    "reason": "The plant manager is away until Monday",
    "expires_at": "2026-12-31T18:00:00+08:00",
}


class WaiverQuery(Days):
    """Asked for from the day `from` to the day `to`; most filters may be given several times."""

    pending_for: Literal["me"] | None = Field(default=None, description="Those that wait for a decision I may give.")
    status: list[Status] = Field(default=[], max_length=5, description="What has become of it by now.")
    gate: list[Key] = Field(default=[], max_length=100, description="Of which gates.")
    gate_version: Version | None = Field(default=None, description="In force when it was asked for.")
    opportunity: list[EntityId] = Field(default=[], max_length=100, description="For which opportunities.")
    requested_by: list[Login] = Field(default=[], max_length=100, description="Logins.")
    cursor: CursorText = None
    limit: Limit = DEFAULT_LIMIT


class WaiverPage(Page[WaiverItem]):
    """Newest first."""


@router.get("/waivers", summary="Waivers", operation_id="waivers", dependencies=[MAY_READ], responses=PROBLEMS)
async def list_waivers(ask: Annotated[WaiverQuery, Query()], asking: AskingNow, who: CallerNow) -> WaiverPage:
    """Those on opportunities that the caller sees, and what has become of each."""
    question = ["waivers", who.subject, ask.model_dump(mode="json", exclude={"cursor", "limit"})]
    values = after_of(question, ask.cursor, Moment, EntityId)
    if ask.pending_for is not None and (asking.scope.person_id is None or not who.roles & MAY_DECIDE):
        return WaiverPage(items=[])
    since, until = between(ask, asking)
    filters = WaiverFilters(
        status=tuple(ask.status),
        gate=tuple(ask.gate),
        gate_version=ask.gate_version,
        since=since,
        until=until,
        opportunity=tuple(ask.opportunity),
        requested_by=tuple(ask.requested_by),
        decidable=ask.pending_for is not None,
    )
    found = await queries.waivers(
        asking.connection,
        Reader(who.subject, asking.scope),
        asking.now,
        filters,
        ask.limit + 1,
        None if values is None else (values[0], values[1]),
    )
    rows, cursor = page_of(found, ask.limit, question, lambda row: (row["requested_at"], row["waiver_id"]))
    return WaiverPage(items=await waivers_told(rows, asking), next_cursor=cursor)


@router.post("/waivers", status_code=201, summary="Ask for a waiver", operation_id="request_waiver",
             dependencies=[MAY_COMMAND], **ANSWERS)  # fmt: skip
async def request(
    body: Annotated[RequestWaiver, Body(openapi_examples={"example": {"value": _ASKED}})],
    request: Request,
    command: Commanding,
) -> Response:
    """For an opportunity of one's own or of one's teams; another person decides."""
    location = f"{request.scope.get('root_path', '')}/waivers/"
    may, person = within(command.scope), command.scope.person_id
    return await command.run(
        body, lambda work: request_waiver(work, body, may, person_id=person), status=201, location=location
    )


@router.get("/waivers/{waiver_id}", summary="A waiver", operation_id="waiver",
            dependencies=[MAY_READ], responses=PROBLEMS)  # fmt: skip
async def one(waiver_id: WaiverId, asking: AskingNow, who: CallerNow, response: Response) -> WaiverItem:
    """What was asked for, by whom, and what was answered."""
    there, row = await queries.one_waiver(asking.connection, Reader(who.subject, asking.scope), asking.now, waiver_id)
    if not there:
        raise refuse("not_found", f"there is no waiver {waiver_id}", expected="see /waivers", kind="missing")
    if row is None:
        raise not_yours()
    response.headers.update(etag(row["version"]))
    return (await waivers_told([row], asking))[0]


@router.post("/waivers/{waiver_id}/approval", summary="Approve a waiver", operation_id="approve_waiver",
             dependencies=[MAY_DECIDE_WAIVERS], **ANSWERS)  # fmt: skip
async def approve(
    waiver_id: WaiverId,
    body: Annotated[ApproveWaiver, Body(openapi_examples={"example": {"value": {"note": "Until the visit"}}})],
    command: Commanding,
) -> Response:
    """By a manager or executive, one of our people, who sees the opportunity and is not the one who asked. The gate lets it pass
    from now on."""
    may, roles = within(command.scope), command.caller.roles
    return await command.run(
        body, lambda work: approve_waiver(work, waiver_id, body, may, roles, _person(command.scope))
    )


@router.post("/waivers/{waiver_id}/refusal", summary="Refuse a waiver", operation_id="refuse_waiver",
             dependencies=[MAY_DECIDE_WAIVERS], **ANSWERS)  # fmt: skip
async def refuse_it(
    waiver_id: WaiverId,
    body: Annotated[RefuseWaiver, Body(openapi_examples={"example": {"value": {"reason": "Ask purchasing first"}}})],
    command: Commanding,
) -> Response:
    """By somebody else than who asked, with a reason."""
    may, roles = within(command.scope), command.caller.roles
    return await command.run(
        body, lambda work: refuse_waiver(work, waiver_id, body, may, roles, _person(command.scope))
    )


@router.post("/waivers/{waiver_id}/withdrawal", summary="Withdraw a waiver that one asked for",
             operation_id="withdraw_waiver", dependencies=[MAY_COMMAND], **ANSWERS)  # fmt: skip
async def withdraw(
    waiver_id: WaiverId,
    body: Annotated[WithdrawWaiver, Body(openapi_examples={"example": {"value": {"reason": "They signed"}}})],
    command: Commanding,
) -> Response:
    """By the one who asked, as long as nobody has decided."""
    person = command.scope.person_id
    return await command.run(body, lambda work: withdraw_waiver(work, waiver_id, body, person))


def _person(scope: Scope) -> str:
    """Who decides. Refuses a login that is nobody's: whether it belongs to the one who asked cannot be told."""
    if scope.person_id is None:
        raise refuse(
            "unknown_person",
            "your login is that of none of our people, so nobody can tell whether you are the one who asked",
            expected="the login of a person in the account service (POST /people, `subject`)",
            kind="forbidden",
        )
    return scope.person_id
