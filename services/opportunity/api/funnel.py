"""The funnel: how many and how much stand where (R3), each figure with a link to the rows behind it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from services.opportunity.api.asking import Asking, AskingNow, Choice, OutcomeCode
from services.opportunity.api.groups import Group, Labeller, labeller, narrowed_to
from services.opportunity.api.roles import MAY_READ
from services.opportunity.api.rows import Totals, summed, totals_of
from services.opportunity.queries.funnel import GroupBy, counts
from services.opportunity.queries.view import RESULT, Belonging
from shared.web.commanding import PROBLEMS

router = APIRouter(tags=["funnel"], dependencies=[MAY_READ])
STANDING: list[OutcomeCode] = ["open", "paused"]


class FunnelQuery(Choice):
    """What is counted, and under which groups."""

    group_by: list[GroupBy] = Field(
        default=["state"],
        min_length=1,
        max_length=11,
        description="Several make a figure for each combination. Stages are always told apart by process.",
    )
    outcome: list[OutcomeCode] = Field(
        default=[],
        max_length=5,
        description="Default: open and paused; all of them when grouped by outcome.",
    )
    belonging: Belonging = Field(default=RESULT, description="Whose it counts as: whose it was `then`, or is `now`.")


Q = TypeVar("Q", bound=FunnelQuery)


class Worth(BaseModel):
    """What `count` opportunities are worth in a currency. `weighted_minor`: at the middle of their probability range."""

    currency: str
    count: int
    minor: int
    weighted_minor: int
    drill: str


class Figure(BaseModel):
    """`groups`: by name of the group. `count`: also those without an amount. `drill`: the list of exactly these."""

    groups: dict[GroupBy, Group]
    count: int
    worth: list[Worth]
    drill: str


class Funnel(BaseModel):
    """Figures in order of their groups. `belonging`: whose an opportunity counts as."""

    group_by: list[GroupBy]
    belonging: Belonging
    as_of: datetime | None
    known_at: datetime | None
    figures: list[Figure]
    totals: Totals
    drill: str


@router.get("/funnel", summary="What stands where", operation_id="funnel", responses=PROBLEMS)
async def funnel(ask: Annotated[FunnelQuery, Query()], asking: AskingNow) -> Funnel:
    """Counts and amounts of what is open or paused, apart by the groups asked for; every figure links to its rows."""
    ask, by = settled(ask)
    view = await asking.view(ask)
    rows = await counts(asking.connection, view, by)
    names = await labeller(asking.connection, asking.language, rows)
    return Funnel(
        group_by=by,
        belonging=ask.belonging,
        as_of=view.as_of,
        known_at=view.known_at,
        figures=list(_figures(rows, by, names, ask, asking)),
        totals=totals_of(summed(rows)),
        drill=asking.list_link(ask),
    )


def settled(ask: Q) -> tuple[Q, list[GroupBy]]:
    """What is counted unless it was said otherwise, and the groups: a stage belongs to a process."""
    by = list(dict.fromkeys(ask.group_by))
    if "stage" in by and "process" not in by:
        by.insert(by.index("stage"), "process")
    if not ask.outcome and "outcome" not in by:
        ask = ask.model_copy(update={"outcome": STANDING})
    return ask, by


def _figures(
    rows: Sequence[RowMapping], by: Sequence[GroupBy], names: Labeller, ask: FunnelQuery, asking: Asking
) -> Iterator[Figure]:
    for values, found in groupby(rows, key=lambda row: tuple(row[name] for name in by)):
        of_group = list(found)
        at = dict(zip(by, values, strict=True))
        chosen = narrowed_to(at)
        yield Figure(
            groups={name: names.group(name, value, at.get("process")) for name, value in at.items()},
            count=sum(row["count"] for row in of_group),
            worth=[
                Worth(
                    currency=row["currency"],
                    count=row["count"],
                    minor=int(row["amount_minor"]),
                    weighted_minor=int(row["weighted_minor"]),
                    drill=asking.list_link(ask, **chosen, currency=row["currency"]),
                )
                for row in of_group
                if row["currency"] is not None
            ],
            drill=asking.list_link(ask, **chosen),
        )
