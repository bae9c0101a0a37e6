"""The list of opportunities: filtered, in a stated order, page by page, with totals."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from services.opportunity.api.asking import Asking, AskingNow, Choice, filters_of
from services.opportunity.api.cursors import after_of
from services.opportunity.api.listing_file import all_rows, columns
from services.opportunity.api.roles import MAY_READ
from services.opportunity.api.rows import OpportunityRow, Totals, row_maker, totals_of
from services.opportunity.queries.cohort import Cohort, Stay
from services.opportunity.queries.listing import SORT_COLUMNS, After, Order, SortBy, page, totals
from services.opportunity.queries.moment import By, Due
from services.opportunity.queries.view import Filters
from shared.contracts.opportunity import EntityId, Priority
from shared.kit.moments import Moment
from shared.kit.money import Currency
from shared.web.commanding import PROBLEMS
from shared.web.export import FILES, AcceptedNow, Exported, export
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page, page_of
from shared.web.problems import bad_request
from shared.web.reading import PlainText

router = APIRouter(tags=["opportunities: reading"], dependencies=[MAY_READ])
Sort = Literal[
    "updated", "-updated", "opened", "-opened", "name", "-name", "amount", "-amount", "close_date", "-close_date",
    "stage", "-stage", "priority", "-priority",
]  # fmt: skip
Said = Annotated[PlainText, Field(max_length=4_000)]
Place = Annotated[str, Field(max_length=20, pattern="^[a-z0-9_]+$")]
ClosesIn = Annotated[str, Field(max_length=20, examples=["2017-Q4"])]
_Whole = Annotated[int, Field(ge=-(2**62), le=2**62)]
_VALUES: Mapping[SortBy, Any] = {
    "updated": Moment,
    "opened": Moment,
    "name": PlainText,
    "amount": _Whole,
    "close_date": date,
    "stage": Annotated[int, Field(ge=0, le=1000)],
    "priority": Priority,
}


class Figure(Choice):
    """Beside the filters: what one figure of the funnel counts. Links behind figures carry these.

    `cohort_…`: those that first stood in a stage or funnel state within a time; `stay_…`: whose time in it is over, or goes on.
    """

    reason: list[Said] = Field(default=[], max_length=20, description="Of the loss, word for word; empty: none given.")
    competitor: list[Said] = Field(default=[], max_length=20, description="Who won it instead; empty: nobody named.")
    closed_from: Moment | None = Field(default=None, description="Ended then or later.")
    closed_before: Moment | None = Field(default=None, description="Ended before then.")
    due: Due | None = Field(
        default=None, description="Open or paused, and the close date is to come, over (`overdue`), or unknown."
    )
    closes_in: list[ClosesIn] = Field(
        default=[],
        max_length=10,
        description="Expected to close within all of these periods, beside `closing`; `none`: without a close date.",
    )
    judged_closing: str | None = Field(
        default=None, max_length=20, description="Open or paused, and judged by a manager to close in this period."
    )
    judged_currency: list[Currency] = Field(default=[], max_length=20, description="In which it is judged.")
    cohort_by: By | None = Field(default=None, description="What `cohort_place` is.")
    cohort_place: Place | None = Field(default=None, description="A stage's number, or a funnel state.")
    cohort_from: Moment | None = Field(default=None, description="First stood there then or later.")
    cohort_before: Moment | None = Field(default=None, description="First stood there before then.")
    cohort_went_on: bool | None = Field(default=None, description="Reached a later place, or was won.")
    stay_by: By | None = Field(default=None, description="What `stay_place` is.")
    stay_place: Place | None = Field(default=None, description="A stage's number, or a funnel state.")
    stay_running: bool = Field(default=False, description="Those that still stand there; else those that are through.")


class ListQuery(Figure, Exported):
    """Which opportunities, in which order, which page."""

    sort: Sort = Field(default="-updated", description="A leading minus: downwards. Rows without a value come last.")
    cursor: CursorText = None
    limit: Limit = DEFAULT_LIMIT


class OpportunityList(Page[OpportunityRow]):
    """`totals` count all pages. The moments are those asked for; null: now."""

    totals: Totals
    as_of: datetime | None
    known_at: datetime | None


@router.get(
    "/opportunities",
    summary="List opportunities",
    operation_id="opportunities",
    response_model=OpportunityList,
    responses={**PROBLEMS, 200: {"content": FILES}},
)
async def opportunities(
    ask: Annotated[ListQuery, Query()], asking: AskingNow, accepted: AcceptedNow
) -> OpportunityList | Response:
    """Those that the caller may see: one's own, those of one's teams and of all below teams that one leads."""
    view, order = await asking.view(ask, _filters(ask, asking)), Order.parse(ask.sort)
    form = ask.format or accepted
    if form != "json":
        rows_of_all = all_rows(asking, view, order)
        return await export(form, "opportunities", columns(asking), rows_of_all, asking.backend.calendar.time_zone)
    question = ["opportunities", ask.model_dump(mode="json", exclude={"cursor", "limit", "format"})]
    values = after_of(question, ask.cursor, _VALUES[order.by] | None, EntityId)
    after = None if values is None else After(values[0], values[1])
    found = await page(asking.connection, view, order, ask.limit + 1, after)
    column = SORT_COLUMNS[order.by]
    rows, cursor = page_of(found, ask.limit, question, lambda row: (row[column], row["opportunity_id"]))
    maker = await row_maker(asking, rows, view.as_of)
    return OpportunityList(
        items=[maker.row(row) for row in rows],
        next_cursor=cursor,
        totals=totals_of(await totals(asking.connection, view)),
        as_of=view.as_of,
        known_at=view.known_at,
    )


def _filters(ask: Figure, asking: Asking) -> Filters:
    return replace(
        filters_of(ask),
        reason=tuple(said or None for said in ask.reason),
        competitor=tuple(said or None for said in ask.competitor),
        closed_from=ask.closed_from,
        closed_before=ask.closed_before,
        due=ask.due,
        closes_in=tuple(None if one == "none" else asking.days_of(one, "closes_in") for one in ask.closes_in),
        judged_closing=None if ask.judged_closing is None else asking.days_of(ask.judged_closing, "judged_closing"),
        judged_currency=tuple(ask.judged_currency),
        cohort=_cohort(ask),
        stay=Stay(ask.stay_by, ask.stay_place, ask.stay_running) if ask.stay_by and ask.stay_place else None,
    )


def _cohort(ask: Figure) -> Cohort | None:
    parts = {"cohort_by": ask.cohort_by, "cohort_place": ask.cohort_place, "cohort_from": ask.cohort_from}
    parts |= {"cohort_before": ask.cohort_before}
    missing = [name for name, value in parts.items() if value is None]
    if len(missing) == len(parts):
        return None
    if ask.cohort_by and ask.cohort_place and ask.cohort_from and ask.cohort_before:
        return Cohort(ask.cohort_by, ask.cohort_place, ask.cohort_from, ask.cohort_before, ask.cohort_went_on)
    raise bad_request(
        "bad_cohort", f"{', '.join(missing)} is missing", field=missing[0], expected="all of them or none"
    )
