"""Waivers: asked for, listed, approved or refused (R5)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from services.opportunity import gate_labels, labels
from services.opportunity.api.asking import Asking, AskingNow
from services.opportunity.api.cursors import after_of
from services.opportunity.api.firings import Days, Version, between
from services.opportunity.api.names import Named, names_of
from services.opportunity.api.roles import MAY_COMMAND, MAY_DECIDE_WAIVERS, MAY_READ
from services.opportunity.api.rows import Coded, coded
from services.opportunity.domain.gates.waiver import MAY_DECIDE, ApproveWaiver, RefuseWaiver, RequestWaiver, Status
from services.opportunity.gating import approve_waiver, refuse_waiver, request_waiver
from services.opportunity.queries import waivers as queries
from services.opportunity.queries.waivers import WaiverFilters
from services.opportunity.visibility import not_yours, within
from shared.contracts.opportunity import EntityId
from shared.contracts.opportunity.gates import Key
from shared.contracts.refusal import refuse
from shared.kit.moments import Moment
from shared.web.auth import CallerNow
from shared.web.commanding import ANSWERS, PROBLEMS, Commanding, etag
from shared.web.paging import DEFAULT_LIMIT, LARGEST_LIMIT, LONGEST_CURSOR, Page, page_of
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
    status: list[Status] = Field(default=[], max_length=4)
    gate: list[Key] = Field(default=[], max_length=100)
    gate_version: Version | None = Field(default=None, description="In force when it was asked for.")
    opportunity: list[EntityId] = Field(default=[], max_length=100)
    requested_by: list[Login] = Field(default=[], max_length=100, description="Logins.")
    cursor: str | None = Field(default=None, max_length=LONGEST_CURSOR)
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=LARGEST_LIMIT)


class WaiverItem(BaseModel):
    """`expires_at`: until when it lets pass, or would; afterwards its status is `expired`. People by their logins."""

    id: str
    version: int
    status: Coded
    gate: str
    gate_version: int
    opportunity: Named
    owner: Named | None
    outcome: Coded
    requested_by: str
    requested_at: datetime
    reason: str
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    note: str | None


class WaiverPage(Page[WaiverItem]):
    """Newest first."""


@router.get("/waivers", summary="Waivers", operation_id="waivers", dependencies=[MAY_READ], responses=PROBLEMS)
async def list_waivers(ask: Annotated[WaiverQuery, Query()], asking: AskingNow, who: CallerNow) -> WaiverPage:
    question = ["waivers", who.subject, ask.model_dump(mode="json", exclude={"cursor", "limit"})]
    values = after_of(question, ask.cursor, Moment, EntityId)
    if ask.pending_for is not None and not who.roles & MAY_DECIDE:
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
        decidable_by=None if ask.pending_for is None else who.subject,
    )
    found = await queries.waivers(
        asking.connection,
        asking.scope,
        who.subject,
        asking.now,
        filters,
        ask.limit + 1,
        None if values is None else (values[0], values[1]),
    )
    rows, cursor = page_of(found, ask.limit, question, lambda row: (row["requested_at"], row["waiver_id"]))
    return WaiverPage(items=await _items(rows, asking), next_cursor=cursor)


@router.post("/waivers", status_code=201, summary="Ask for a waiver", operation_id="request_waiver",
             dependencies=[MAY_COMMAND], **ANSWERS)  # fmt: skip
async def request(
    body: Annotated[RequestWaiver, Body(openapi_examples={"example": {"value": _ASKED}})],
    request: Request,
    command: Commanding,
) -> Response:
    """For an opportunity of one's own or of one's teams; another person decides."""
    location = f"{request.scope.get('root_path', '')}/waivers/"
    may = within(command.scope)
    return await command.run(body, lambda work: request_waiver(work, body, may), status=201, location=location)


@router.get("/waivers/{waiver_id}", summary="A waiver", operation_id="waiver",
            dependencies=[MAY_READ], responses=PROBLEMS)  # fmt: skip
async def one(waiver_id: WaiverId, asking: AskingNow, who: CallerNow, response: Response) -> WaiverItem:
    there, row = await queries.one_waiver(asking.connection, asking.scope, who.subject, asking.now, waiver_id)
    if not there:
        raise refuse("not_found", f"there is no waiver {waiver_id}", expected="see /waivers", kind="missing")
    if row is None:
        raise not_yours()
    response.headers.update(etag(row["version"]))
    return (await _items([row], asking))[0]


@router.post("/waivers/{waiver_id}/approval", summary="Approve a waiver", operation_id="approve_waiver",
             dependencies=[MAY_DECIDE_WAIVERS], **ANSWERS)  # fmt: skip
async def approve(
    waiver_id: WaiverId,
    body: Annotated[ApproveWaiver, Body(openapi_examples={"example": {"value": {"note": "Until the visit"}}})],
    command: Commanding,
) -> Response:
    """By a manager or executive who sees the opportunity and is not the one who asked. The gate lets it pass from now on."""
    may, roles = within(command.scope), command.caller.roles
    return await command.run(body, lambda work: approve_waiver(work, waiver_id, body, may, roles))


@router.post("/waivers/{waiver_id}/refusal", summary="Refuse a waiver", operation_id="refuse_waiver",
             dependencies=[MAY_DECIDE_WAIVERS], **ANSWERS)  # fmt: skip
async def refuse_it(
    waiver_id: WaiverId,
    body: Annotated[RefuseWaiver, Body(openapi_examples={"example": {"value": {"reason": "Ask purchasing first"}}})],
    command: Commanding,
) -> Response:
    may, roles = within(command.scope), command.caller.roles
    return await command.run(body, lambda work: refuse_waiver(work, waiver_id, body, may, roles))


async def _items(rows: Sequence[RowMapping], asking: Asking) -> list[WaiverItem]:
    names = await names_of(asking.connection, asking.language, {"owner": [row["owner_id"] for row in rows]})
    same = ("gate", "gate_version", "requested_by", "requested_at", "reason", "expires_at", "version")
    answer = ("decided_by", "decided_at", "note")
    return [
        WaiverItem(
            **{name: row[name] for name in (*same, *answer)},
            id=row["waiver_id"],
            status=coded(gate_labels.WAIVERS, row["status"], asking.language),
            opportunity=Named(id=row["opportunity_id"], name=row["opportunity_name"]),
            owner=names.one("owner", row["owner_id"]),
            outcome=coded(labels.OUTCOMES, row["outcome"], asking.language),
        )
        for row in rows
    ]
