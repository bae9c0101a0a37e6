"""An opportunity's page: where it stands, what is missing, what may be done; and its history."""

from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from services.opportunity import labels
from services.opportunity.api.asking import Asking, AskingNow, Clocks
from services.opportunity.api.changing import OpportunityId
from services.opportunity.api.cursors import after_of
from services.opportunity.api.detail import OpportunityDetail, detail_of
from services.opportunity.api.opening import ExternalId, System
from services.opportunity.api.roles import MAY_READ
from services.opportunity.api.rows import Coded, coded
from services.opportunity.commands import claim_id
from services.opportunity.entities import CLAIM
from services.opportunity.queries import page as queries
from services.opportunity.visibility import not_yours
from shared.contracts.event import Recorded, encode
from shared.contracts.opportunity import ExternalIdClaimed
from shared.contracts.refusal import refuse
from shared.kit.moments import Moment
from shared.web.commanding import PROBLEMS, etag
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page, page_of

router = APIRouter(tags=["opportunities: reading"], dependencies=[MAY_READ])


class HistoryQuery(Clocks):
    """Facts that were so by `as_of` and known by `known_at`."""

    order: Literal["-recorded", "recorded", "-occurred", "occurred"] = Field(
        default="-recorded", description="By when we learned it, or by when it was so; a leading minus: newest first."
    )
    cursor: CursorText = None
    limit: Limit = DEFAULT_LIMIT


class HistoryItem(BaseModel):
    """`occurred_at`: when it was so in business; `recorded_at`: when we learned it."""

    version: int
    event: Coded
    en: str
    zh: str
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    correlation_id: str
    data: dict[str, Any]


class History(Page[HistoryItem]):
    """Everything that was said about an opportunity."""


@router.get(
    "/opportunities/by-external/{system}/{external_id:path}",
    summary="An opportunity by another system's id",
    operation_id="opportunity_by_external",
    responses=PROBLEMS,
)
async def by_external(
    system: System, external_id: ExternalId, ask: Annotated[Clocks, Query()], asking: AskingNow, response: Response
) -> OpportunityDetail:
    """The page of the one that another system knows by this id."""
    facts = await asking.backend.store.load(CLAIM.stream_id(claim_id(system, external_id)))
    claimed = [fact.event.opportunity_id for fact in facts if isinstance(fact.event, ExternalIdClaimed)]
    if not claimed:
        raise refuse("not_found", f"{system} {external_id!r} names no opportunity", kind="missing")
    return await _page(claimed[-1], ask, asking, response)


@router.get("/opportunities/{opportunity_id}", summary="An opportunity", operation_id="opportunity", responses=PROBLEMS)
async def one(
    opportunity_id: OpportunityId, ask: Annotated[Clocks, Query()], asking: AskingNow, response: Response
) -> OpportunityDetail:
    """The `ETag` of the page as it is now is what `If-Match` of a command takes."""
    return await _page(opportunity_id, ask, asking, response)


@router.get(
    "/opportunities/{opportunity_id}/history",
    summary="Everything that happened to an opportunity",
    operation_id="history",
    responses=PROBLEMS,
)
async def history(opportunity_id: OpportunityId, ask: Annotated[HistoryQuery, Query()], asking: AskingNow) -> History:
    """What was recorded of it, fact by fact, in the order in which it was learned or in business time."""
    await check_seen(opportunity_id, asking)
    question = ["history", opportunity_id, ask.model_dump(mode="json", exclude={"cursor", "limit"})]
    version = Annotated[int, Field(ge=0, le=2**31 - 1)]
    values = after_of(question, ask.cursor, Moment, version)
    order: queries.HistoryOrder = "recorded" if ask.order.endswith("recorded") else "occurred"
    found = await queries.history(
        asking.connection,
        opportunity_id,
        as_of=asking.moment(ask.as_of, "as_of"),
        known_at=asking.moment(ask.known_at, "known_at"),
        order=order,
        descending=ask.order.startswith("-"),
        limit=ask.limit + 1,
        after=None if values is None else (values[0], values[1]),
    )
    rows, cursor = page_of(found, ask.limit, question, lambda fact: (fact.occurred_at, fact.version))
    return History(items=[_item(fact, asking) for fact in rows], next_cursor=cursor)


async def _page(opportunity_id: str, ask: Clocks, asking: Asking, response: Response) -> OpportunityDetail:
    await check_seen(opportunity_id, asking)
    as_of, known_at = asking.moment(ask.as_of, "as_of"), asking.moment(ask.known_at, "known_at")
    found = await queries.page(asking.connection, opportunity_id, as_of, known_at)
    if found is None:
        raise refuse("not_found", f"there was no opportunity {opportunity_id} then", kind="missing")
    if as_of is None and known_at is None:
        response.headers.update(etag(found.version))
    return await detail_of(opportunity_id, found, asking, as_of, known_at)


async def check_seen(opportunity_id: str, asking: Asking) -> None:
    """Raises RefusedError: missing, or forbidden."""
    holder = await queries.holder(asking.connection, opportunity_id)
    if holder is None:
        raise refuse("not_found", f"there is no opportunity {opportunity_id}", kind="missing")
    if not asking.scope.covers(holder.owner_id, holder.team_id):
        raise not_yours()


def _item(fact: Recorded[Any], asking: Asking) -> HistoryItem:
    name = fact.event.type_name
    en, zh = labels.EVENTS[name]
    return HistoryItem(
        version=fact.version,
        event=coded(labels.EVENTS, name, asking.language),
        en=en,
        zh=zh,
        occurred_at=fact.occurred_at,
        recorded_at=fact.recorded_at,
        actor=fact.actor,
        correlation_id=str(fact.correlation_id),
        data=orjson.loads(encode(fact.event)),
    )
