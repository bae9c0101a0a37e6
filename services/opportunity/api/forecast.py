"""The forecast (R2): what a period promises by category, what was won in it, against the target; a manager's judgement beside."""

import asyncio
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from services.opportunity.api.asking import Asking, AskingNow, Selection
from services.opportunity.api.converting import Converting, converter
from services.opportunity.api.forecast_figures import ForecastAnswer
from services.opportunity.api.forecast_file import forecast_file
from services.opportunity.api.forecast_targets import Targets
from services.opportunity.api.forecast_told import Teller
from services.opportunity.api.groups import labeller
from services.opportunity.api.roles import MAY_READ
from services.opportunity.queries.forecast import expectation
from services.opportunity.queries.funnel import GroupBy
from services.opportunity.queries.scope import teams_below
from services.opportunity.queries.targets import TargetFilters, targets, teams_with_teams_below
from services.opportunity.queries.view import RESULT, Belonging
from shared.contracts.opportunity import EntityId
from shared.kit.calendar import Period
from shared.web.commanding import PROBLEMS
from shared.web.export import FILES, AcceptedNow, Exported
from shared.web.problems import bad_request

router = APIRouter(tags=["forecast"], dependencies=[MAY_READ])
ForecastPeriod = Literal["month", "quarter", "year"]
MOST_PERIODS = 24


class ForecastQuery(Selection, Converting, Exported):
    """Which opportunities, which periods, under which groups. Targets are shown where nothing narrows what counts towards them but
    whose it is."""

    period: str | None = Field(
        default=None, max_length=20, description="A month, a quarter or a fiscal year; default the current quarter."
    )
    first_day: date | None = Field(default=None, alias="from", description="In place of `period`: the first day.")
    last_day: date | None = Field(default=None, alias="to", description="In place of `period`: the last day.")
    by: ForecastPeriod | None = Field(
        default=None,
        description="A figure for each of these that the days touch, each counted whole; default one as `period` is.",
    )
    group_by: list[GroupBy] = Field(
        default=["owner"],
        max_length=11,
        description="Several make a figure for each combination. Stages are always told apart by process.",
    )
    within: EntityId | None = Field(default=None, description="A team, with all teams below it.")
    belonging: Belonging = Field(default=RESULT, description="Whose it counts as: whose it was `then`, or is `now`.")


@router.get(
    "/forecast",
    summary="What a period promises",
    operation_id="forecast_of_periods",
    response_model=ForecastAnswer,
    responses={**PROBLEMS, 200: {"content": FILES}},
)
async def forecast(
    ask: Annotated[ForecastQuery, Query()], asking: AskingNow, accepted: AcceptedNow
) -> ForecastAnswer | Response:
    """Each opportunity counts once: won, in the period in which it was won; open, in that of its close date. What should have
    closed already, and what has no close date, stands apart."""
    if ask.closing is not None:
        raise bad_request("bad_period", "closing does not go with a forecast", field="closing", expected="period")
    ask = await _team(ask, asking)
    periods = _periods(ask, asking)
    by = list(dict.fromkeys(ask.group_by))
    if "stage" in by and "process" not in by:
        by.insert(by.index("stage"), "process")
    view = await asking.view(ask)
    found = await expectation(asking.connection, view, by, periods)
    asked = TargetFilters(
        period=tuple(one.label for one in periods), currency=tuple(one for one in view.filters.currency if one)
    )
    said = await targets(asking.connection, asking.scope, asked, as_of=view.as_of, known_at=view.known_at)
    above = await teams_with_teams_below(
        asking.connection, [row["holder_id"] for row in said if row["holder_kind"] == "team"]
    )
    currencies = {row["currency"] for row in (*found.figures, *found.judged, *said)}
    beside = await converter(asking, ask, currencies, view.as_of, view.known_at)
    holders = [{"owner": row["holder_id"]} for row in said if row["holder_kind"] == "person"]
    holders += [{"team": row["holder_id"]} for row in said if row["holder_kind"] == "team"]
    names = await labeller(asking.connection, asking.language, [*found.figures, *found.judged, *holders])
    against = Targets(ask, asking, by, [row for row in said if row["minor"]], above)
    teller = Teller(ask, asking, periods, by, found, against, beside, names)
    form = ask.format or accepted
    if form != "json":
        return await forecast_file(form, teller, asking)
    return ForecastAnswer(
        group_by=by,
        belonging=ask.belonging,
        as_of=view.as_of,
        known_at=view.known_at,
        figures=await asyncio.to_thread(teller.figures),  # thousands of them, each with links, take seconds
        totals=teller.totals(),
        overdue=teller.apart("overdue"),
        undated=teller.apart("undated"),
        rate_on=beside.on if beside else None,
        rates=beside.used if beside else [],
    )


async def _team(ask: ForecastQuery, asking: Asking) -> ForecastQuery:
    """`within` told as the teams that it means: links to lists carry these."""
    if ask.within is None:
        return ask
    if ask.team:
        raise bad_request("bad_team", "both team and within", field="within", expected="one of them")
    return ask.model_copy(update={"team": list(await teams_below(asking.connection, ask.within)) or [ask.within]})


def _periods(ask: ForecastQuery, asking: Asking) -> list[Period]:
    calendar = asking.backend.calendar
    if ask.period is not None and (ask.first_day or ask.last_day):
        raise bad_request("bad_period", "both period and from/to", field="period", expected="one of them")
    if ask.period is None and ask.first_day is None and ask.last_day is None:
        today = calendar.day_of(asking.moment(ask.as_of, "as_of") or asking.now)
        whole = calendar.period_of_day(today, ask.by or "quarter")
    elif ask.period is not None:
        whole = asking.period_named(ask.period, "period")
    else:
        if ask.first_day is None or ask.last_day is None or not 1900 <= ask.first_day.year <= ask.last_day.year <= 9000:
            raise bad_request("bad_period", "from and to make no period", field="from", expected="both, in order")
        start, end = calendar.start_of_day(ask.first_day), calendar.end_of_day(ask.last_day)
        whole = Period("day", "", start, end, ask.first_day, ask.last_day)
    kind = ask.by or (whole.kind if whole.kind in ("month", "quarter", "year") else "month")
    if (whole.last_day - whole.first_day).days > MOST_PERIODS * 366:
        raise _too_many(kind)
    found = calendar.periods(whole.start, whole.end, kind)
    if len(found) > MOST_PERIODS:
        raise _too_many(kind)
    if not found:
        raise bad_request("bad_period", "from lies after to", field="from", expected="from, then to")
    return found


def _too_many(kind: str) -> Exception:
    said = f"a forecast has at most {MOST_PERIODS} periods of kind {kind}"
    return bad_request("too_many_periods", said, field="period", expected="fewer days, or longer periods in `by`")
