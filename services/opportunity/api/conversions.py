"""What the funnel does over time (R3): what converts, how long it takes, where it leaks, how fast it earns, what it needs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import RowMapping

from services.opportunity.api.asking import WHOSE, Asking, AskingNow, Selection, Within
from services.opportunity.api.flows import (
    Cohort,
    Conversion,
    Counted,
    Earning,
    Leak,
    Leakage,
    PeriodTold,
    Required,
    Stay,
    TimeInStage,
    Velocity,
)
from services.opportunity.api.funnel import STANDING
from services.opportunity.api.groups import Labeller, labeller
from services.opportunity.api.roles import MAY_READ
from services.opportunity.queries import funnel as queries
from services.opportunity.queries import velocity as speed
from services.opportunity.queries.moment import By
from services.opportunity.queries.view import RESULT, Belonging
from shared.kit.calendar import Period
from shared.kit.money import MAX_MINOR, Currency, Money
from shared.web.commanding import PROBLEMS

router = APIRouter(tags=["funnel"], dependencies=[MAY_READ])
_WAYS: tuple[By, ...] = ("stage", "state")


class StayQuery(Selection):
    belonging: Belonging = Field(default=RESULT, description=WHOSE)


class LeakageQuery(Within):
    by: By = Field(default="stage", description="By working stage (each process apart), or by funnel state.")


class RequiredQuery(Within):
    """`target_minor`: what is to be won, in the currency's smallest unit."""

    target_minor: int = Field(gt=0, le=MAX_MINOR, description="What is to be won.")
    currency_of_target: Currency = Field(alias="target_currency", description="Its currency.")


@router.get("/funnel/conversion", summary="What converts", operation_id="conversion", responses=PROBLEMS)
async def conversion(ask: Annotated[Within, Query()], asking: AskingNow) -> Conversion:
    """By cohort: a loss later on changes what became of the cohort, never who was in it."""
    period = asking.period(ask)
    found: dict[By, list[Cohort]] = {}
    for by in _WAYS:
        rows = await queries.conversion(asking.connection, await asking.view(ask), period.start, period.end, by)
        names = await labeller(asking.connection, asking.language, rows)
        found[by] = [_cohort(row, by, ask, period, asking, names) for row in rows]
    return Conversion(
        period=_told(period), belonging=ask.belonging, stages=found["stage"], states=_in_order(found["state"])
    )


@router.get("/funnel/time-in-stage", summary="How long it takes", operation_id="time_in_stage", responses=PROBLEMS)
async def time_in_stage(ask: Annotated[StayQuery, Query()], asking: AskingNow) -> TimeInStage:
    """Days that opportunities stood in each stage and funnel state: those that are through, and those that still do."""
    view = await asking.view(ask)
    found: dict[By, list[Stay]] = {}
    for by in _WAYS:
        rows = await queries.time_in_stage(asking.connection, view, by)
        names = await labeller(asking.connection, asking.language, rows)
        found[by] = [_stay(row, by, ask, asking, names) for row in rows]
    return TimeInStage(belonging=ask.belonging, stages=found["stage"], states=_in_order(found["state"]))


@router.get("/funnel/leakage", summary="Where and why it leaks", operation_id="leakage", responses=PROBLEMS)
async def leakage(ask: Annotated[LeakageQuery, Query()], asking: AskingNow) -> Leakage:
    """What was lost or given up within the period: where it stood, why, and to whom."""
    period = asking.period(ask)
    rows = await queries.leakage(asking.connection, await asking.view(ask), period.start, period.end, ask.by)
    names = await labeller(asking.connection, asking.language, rows)
    items = [_leak(row, ask, period, asking, names) for row in rows]
    return Leakage(period=_told(period), belonging=ask.belonging, by=ask.by, items=items)


@router.get("/funnel/velocity", summary="How fast it earns", operation_id="velocity", responses=PROBLEMS)
async def velocity(ask: Annotated[Within, Query()], asking: AskingNow) -> Velocity:
    """Open opportunities, win rate, average win and cycle of the period, and what they make per day."""
    period = asking.period(ask)
    found = asdict(await speed.velocity(asking.connection, await asking.view(ask), period.start, period.end))
    items = [Earning(**one) for one in found.pop("earnings")]
    return Velocity(period=_told(period), belonging=ask.belonging, items=items, **found)


@router.get("/funnel/required", summary="What must enter at the top", operation_id="required", responses=PROBLEMS)
async def required(ask: Annotated[RequiredQuery, Query()], asking: AskingNow) -> Required:
    """What has to come in at the top for a target, going by what became of the period's cohort."""
    period = asking.period(ask)
    target = Money(minor=ask.target_minor, currency=ask.currency_of_target)
    found = await speed.required_at_top(asking.connection, await asking.view(ask), target, period.start, period.end)
    told = {name: getattr(found, name) for name in type(found).__dataclass_fields__}
    return Required(period=_told(period), belonging=ask.belonging, **told)


def _cohort(row: RowMapping, by: By, ask: Within, period: Period, asking: Asking, names: Labeller) -> Cohort:
    chosen: dict[str, Any] = {
        "cohort_by": by, "cohort_place": row[by], "cohort_from": period.start, "cohort_before": period.end,
        **_of_process(row),
    }  # fmt: skip

    def counted(name: str, **more: Any) -> Counted:
        return Counted(count=row[name], drill=asking.list_link(ask, **chosen, **more))

    return Cohort(
        **_placed(row, by, names),
        entered=counted("entered"),
        advanced=counted("advanced", cohort_went_on=True),
        won=counted("won", outcome="won"),
        lost=counted("lost", outcome="lost"),
        abandoned=counted("abandoned", outcome="abandoned"),
        still_open=counted("still_open", outcome=STANDING),
        rate=row["advanced"] / row["entered"],
        days_median=row["days_median"],
    )


def _stay(row: RowMapping, by: By, ask: Selection, asking: Asking, names: Labeller) -> Stay:
    chosen = {"stay_by": by, "stay_place": row[by], "stay_running": row["running"], **_of_process(row)}
    figures = {name: row[name] for name in ("running", "count", "days_median", "days_p90", "days_longest")}
    return Stay(**_placed(row, by, names), **figures, drill=asking.list_link(ask, **chosen))


def _leak(row: RowMapping, ask: LeakageQuery, period: Period, asking: Asking, names: Labeller) -> Leak:
    chosen = {
        ask.by: row[ask.by], "outcome": row["outcome"], "currency": row["currency"], "reason": row["reason"] or "",
        "competitor": row["competitor"] or "", "closed_from": period.start, "closed_before": period.end,
        **_of_process(row),
    }  # fmt: skip
    why = {name: row[name] for name in ("outcome", "reason", "competitor", "currency", "count")}
    placed = _placed(row, ask.by, names)
    return Leak(**placed, **why, minor=row["amount_minor"], drill=asking.list_link(ask, **chosen))


def _of_process(row: RowMapping) -> dict[str, Any]:
    return {"process": row["process"]} if "process" in row else {}


def _placed(row: RowMapping, by: By, names: Labeller) -> dict[str, Any]:
    process = row["process"] if "process" in row else None  # noqa: SIM401 - a row of the database has no get
    return {
        "process": process and names.group("process", process, None),
        "place": names.group(by, row[by], process),
    }


def _in_order(found: Sequence[Any]) -> list[Any]:
    """Funnel states from the top of the funnel down."""
    order = ("searching", "in_funnel", "best")
    return sorted(found, key=lambda one: order.index(one.place.value))


def _told(period: Period) -> PeriodTold:
    return PeriodTold(label=period.label, start=period.start, end=period.end)
