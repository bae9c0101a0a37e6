"""The board: columns with totals and first cards, all that one screen needs in one answer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from services.opportunity.api.asking import Asking, AskingNow, Choice, OutcomeCode
from services.opportunity.api.groups import FILTER_OF, Group, Labeller, labeller
from services.opportunity.api.listing import Sort
from services.opportunity.api.roles import MAY_READ
from services.opportunity.api.rows import OpportunityRow, RowMaker, Totals, row_maker, summed, totals_of
from services.opportunity.domain.process import DEFAULT_PROCESS_KEY
from services.opportunity.labels import FUNNEL_STATES
from services.opportunity.queries.funnel import GROUP_COLUMNS, counts
from services.opportunity.queries.listing import Order, first_cards
from shared.contracts.opportunity import Code, ProcessDefined
from shared.web.commanding import PROBLEMS

router = APIRouter(tags=["opportunities: reading"], dependencies=[MAY_READ])
BoardBy = Literal["stage", "owner", "state"]


class BoardQuery(Choice):
    """A board is of one process: stage 3 of another one is something else."""

    process: list[Code] = Field(
        default=[DEFAULT_PROCESS_KEY], min_length=1, max_length=1, description="The key of the sales process."
    )
    outcome: list[OutcomeCode] = Field(default=["open", "paused"], max_length=5, description="How it stands, or ended.")
    group_by: BoardBy = Field(default="stage", description="What the columns are.")
    cards: int = Field(default=10, ge=0, le=50, description="Cards shown in each column.")
    sort: Sort = Field(default="-updated", description="Of the cards in a column.")


class Column(BaseModel):
    """`cards` are the first ones; `drill` lists all of the column."""

    group: Group
    totals: Totals
    cards: list[OpportunityRow]
    drill: str


class Board(BaseModel):
    """Columns in order, empty ones too; of owners those who have something."""

    process: str
    group_by: BoardBy
    totals: Totals
    columns: list[Column]
    as_of: datetime | None
    known_at: datetime | None


@router.get("/board", summary="A board", operation_id="board", responses=PROBLEMS)
async def board(ask: Annotated[BoardQuery, Query()], asking: AskingNow) -> Board:
    """A column for every stage or funnel state of one process, with its totals and its first cards."""
    view, by = await asking.view(ask), ask.group_by
    counted = await counts(asking.connection, view, [by])
    names = await labeller(asking.connection, asking.language, counted)
    process = names.latest[ask.process[0]]
    placed: Sequence[RowMapping] = []
    if ask.cards:
        placed = await first_cards(asking.connection, view, GROUP_COLUMNS[by], Order.parse(ask.sort), ask.cards)
    maker = await row_maker(asking, placed, view.as_of)
    return Board(
        process=process.key,
        group_by=by,
        totals=totals_of(summed(counted)),
        columns=[_column(value, ask, asking, names, counted, placed, maker) for value in _values(by, process, counted)],
        as_of=view.as_of,
        known_at=view.known_at,
    )


def _column(
    value: Any,
    ask: BoardQuery,
    asking: Asking,
    names: Labeller,
    counted: Sequence[RowMapping],
    placed: Sequence[RowMapping],
    maker: RowMaker,
) -> Column:
    by = ask.group_by
    return Column(
        group=names.group(by, value, ask.process[0]),
        totals=totals_of(row for row in counted if row[by] == value),
        cards=[maker.row(row) for row in placed if row[GROUP_COLUMNS[by]] == value],
        drill=asking.list_link(ask, **{FILTER_OF[by]: value}),
    )


def _values(by: BoardBy, process: ProcessDefined, counted: Sequence[RowMapping]) -> list[Any]:
    present = list(dict.fromkeys(row[by] for row in counted))
    if by == "stage":  # an older version of the process may have more stages
        return sorted({*range(1, len(process.selling) + 1), *present})
    return list(dict.fromkeys([*FUNNEL_STATES, *present])) if by == "state" else present
