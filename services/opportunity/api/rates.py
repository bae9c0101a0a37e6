"""Exchange rates: quoted by whoever knows them, for ever on record."""

from datetime import date, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.api.columns import columns, file_of
from services.opportunity.api.cursors import after_of
from services.opportunity.api.roles import MAY_READ
from services.opportunity.domain.rates import QuoteRate, decide_quote
from services.opportunity.entities import EXCHANGE_RATE
from services.opportunity.projections.rates import rates
from services.opportunity.queries.rates import quotes
from shared.eventstore.commands import Work
from shared.eventstore.types import JsonObject
from shared.kit.money import Currency
from shared.web.auth import needs
from shared.web.commanding import ANSWERS, PROBLEMS, BackendNow, Commanding
from shared.web.export import FILES, MOST_ROWS, AcceptedNow, Exported, at_once
from shared.web.language import LanguageNow
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page, page_of
from shared.web.reading import PlainText, reading

router = APIRouter(tags=["exchange rates"])
MAY_QUOTE = Depends(needs("finance", "operations", "executive", "integration"))
Connection = Annotated[AsyncConnection, Depends(reading(rates), scope="function")]
_EXAMPLE = {
    "A dollar in yuan": {
        "value": {
            "from_currency": "USD",
            "to_currency": "CNY",
            "day": "2026-10-30",
            "rate": "7.0930",
            "source": "central bank, midpoint",
        }
    }
}


class RateQuery(Exported):
    """Which rates; `from` and `to` are days."""

    model_config = ConfigDict(extra="forbid")

    from_currency: Currency | None = Field(default=None, description="Of which one unit is worth the rate.")
    to_currency: Currency | None = Field(default=None, description="In which the rate is told.")
    source: Annotated[PlainText, Field(max_length=100)] | None = Field(default=None, description="Who says so.")
    first_day: date | None = Field(default=None, alias="from", description="The first day.")
    last_day: date | None = Field(default=None, alias="to", description="The last day.")
    cursor: CursorText = None
    limit: Limit = DEFAULT_LIMIT


class QuotedRate(BaseModel):
    """One `from_currency` was worth `rate` `to_currency` on `day`, says `source`; `actor` told us at `recorded_at`."""

    from_currency: str
    to_currency: str
    day: date
    rate: str
    source: str
    recorded_at: datetime
    actor: str


class RatePage(Page[QuotedRate]):
    """The latest day first; of each source the last word on each day."""


@router.get("/rates", summary="Exchange rates", operation_id="rates", dependencies=[MAY_READ], response_model=RatePage,
            responses={**PROBLEMS, 200: {"content": FILES}})  # fmt: skip
async def list_rates(
    ask: Annotated[RateQuery, Query()],
    connection: Connection,
    backend: BackendNow,
    language: LanguageNow,
    accepted: AcceptedNow,
) -> RatePage | Response:
    """As they were quoted, the latest day first."""
    question = ["rates", ask.model_dump(mode="json", exclude={"cursor", "limit", "format"})]
    values = after_of(question, ask.cursor, date, Annotated[int, Field(ge=0, le=2**62)])
    named: dict[str, Any] = ask.model_dump(include={"from_currency", "to_currency", "source"}, exclude_none=True)
    form = ask.format or accepted
    if form != "json":
        every = await quotes(connection, named, (ask.first_day, ask.last_day), MOST_ROWS + 1, None)
        names = ("from_currency", "rate", "to_currency", "day", "source", "recorded_at", "actor")
        cell = {name: itemgetter(name) for name in names} | {"rate": lambda row: Decimal(row["rate"])}
        cells = columns(language, **cell)
        return await file_of(form, "rates", cells, every, at_once, backend.calendar.time_zone)
    after = None if values is None else (values[0], values[1])
    found = await quotes(connection, named, (ask.first_day, ask.last_day), ask.limit + 1, after)
    page, cursor = page_of(found, ask.limit, question, lambda row: (row["day"], row["position"]))
    items = [QuotedRate(**{name: row[name] for name in QuotedRate.model_fields}) for row in page]
    return RatePage(items=items, next_cursor=cursor)


@router.post(
    "/rates",
    summary="Quote an exchange rate",
    operation_id="quote_rate",
    dependencies=[MAY_QUOTE],
    **ANSWERS | {"responses": {**PROBLEMS, 201: {"description": "a new rate"}}},
)
async def quote_rate(body: Annotated[QuoteRate, Body(openapi_examples=_EXAMPLE)], command: Commanding) -> Response:
    """Said again by the same source for the same day it replaces what was said before; figures told before do not change
    when they are asked for with `known_at`."""

    async def decide(work: Work) -> JsonObject:
        state = (await work.state(EXCHANGE_RATE, body.stream)).state
        work.append(EXCHANGE_RATE, body.stream, *decide_quote(state, body), occurred_at=body.occurred_at)
        return {"id": body.stream, "created": bool(work.pending)}

    return await command.run(body, decide, status=201)
