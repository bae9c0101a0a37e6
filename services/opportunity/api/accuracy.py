"""How right submitted forecasts were (R2): against what was won within their periods; by person, by stage, by how early."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field
from sqlalchemy import RowMapping

from services.opportunity import forecast_labels
from services.opportunity.api.accuracy_figures import (
    Accuracy,
    AccuracyBy,
    AccuracyFigure,
    Compared,
    StageFigure,
    StageMoney,
)
from services.opportunity.api.accuracy_file import accuracy_file
from services.opportunity.api.asking import Asking, AskingNow
from services.opportunity.api.groups import Labeller, labeller
from services.opportunity.api.names import Named, names_of
from services.opportunity.api.roles import MAY_READ
from services.opportunity.api.rows import coded
from services.opportunity.domain.forecast.accuracy import (
    MEASURES,
    Against,
    Sample,
    against,
    by_holder,
    by_horizon,
    expected,
    horizon,
    share_bp,
)
from services.opportunity.queries import submissions as queries
from services.opportunity.queries.submission_lines import by_stage
from services.opportunity.queries.submissions import SubmissionFilters
from shared.contracts.opportunity import EntityId, ForecastJudgement, ForecastMoney
from shared.web.commanding import PROBLEMS
from shared.web.export import FILES, AcceptedNow, Exported
from shared.web.problems import ProblemError

router = APIRouter(tags=["forecast"], dependencies=[MAY_READ])
MOST_SUBMISSIONS = 20_000


class AccuracyQuery(Exported):
    """Of submissions for periods that have ended. All of them count, each by itself: also what was superseded was expected once."""

    model_config = ConfigDict(extra="forbid")

    group_by: AccuracyBy = Field(default="person", description="What is told apart.")
    period: str | None = Field(
        default=None, max_length=20, description="Periods within this one; default all.", examples=["FY2026"]
    )
    holder_kind: list[Literal["person", "team"]] = Field(
        default=[], max_length=2, description="Of people, teams, or both."
    )
    holder: list[EntityId] = Field(default=[], max_length=100, description="People and teams.")
    standing: bool | None = Field(default=None, description="Only the last of each holder and period, or only others.")


@router.get("/forecast/accuracy", summary="How right forecasts were", operation_id="forecast_accuracy", response_model=Accuracy,
            responses={**PROBLEMS, 200: {"content": FILES}})  # fmt: skip
async def accuracy(
    ask: Annotated[AccuracyQuery, Query()], asking: AskingNow, accepted: AcceptedNow
) -> Accuracy | Response:
    """What was won within a period is told as it was when the period ended, by what is known now; of whom it was then."""
    told, form = await _accuracy(ask, asking), ask.format or accepted
    return told if form == "json" else await accuracy_file(form, told, asking)


async def _accuracy(ask: AccuracyQuery, asking: Asking) -> Accuracy:
    filters = SubmissionFilters(
        holder_kind=tuple(ask.holder_kind),
        holder=tuple(ask.holder),
        standing=ask.standing,
        within=None if ask.period is None else asking.days_of(ask.period, "period"),
        ended=asking.backend.calendar.day_of(asking.now),
        time_zone=asking.backend.calendar.time_zone,
    )
    rows = await queries.submissions(asking.connection, asking.scope, filters, MOST_SUBMISSIONS + 1)
    if len(rows) > MOST_SUBMISSIONS:
        said = f"more than {MOST_SUBMISSIONS} submissions; narrow the question by period or holder"
        raise ProblemError(413, "too_many_submissions", said)
    if ask.group_by == "stage":
        lines = await by_stage(asking.connection, asking.scope, filters)
        names = await labeller(asking.connection, asking.language, [])
        stages = list(_stages(lines, names, ask, asking))
        return Accuracy(group_by="stage", submissions=len(rows), figures=[], stages=stages)
    won = await queries.won_within(asking.connection, asking.scope, filters)
    samples = [one for row in rows for one in _samples(row, won.get((row["book"], row["version"]), {}), asking)]
    figures = await (_of_holders if ask.group_by == "person" else _of_horizons)(samples, ask, asking)
    return Accuracy(group_by=ask.group_by, submissions=len(rows), figures=figures, stages=[])


def _samples(row: RowMapping, won: Mapping[str, int], asking: Asking) -> Iterator[Sample]:
    """One for each currency in which something was expected or won."""
    figures = [ForecastMoney.model_validate(one) for one in row["figures"]]
    judged = [ForecastJudgement.model_validate(one) for one in row["judged"]]
    days = horizon(asking.backend.calendar.day_of(row["submitted_at"]), row["last_day"])
    for currency, said in expected(figures, judged, won).items():
        yield Sample((row["holder_kind"], row["holder_id"]), days, currency, said, won.get(currency, 0))


async def _of_holders(samples: Sequence[Sample], ask: AccuracyQuery, asking: Asking) -> list[AccuracyFigure]:
    kinds = {"person": "owner", "team": "team"}
    ids = {of: [one.holder[1] for one in samples if kinds[one.holder[0]] == of] for of in kinds.values()}
    names = await names_of(asking.connection, asking.language, ids)
    found = []
    for ((kind, holder_id), currency), some in sorted(by_holder(samples).items()):
        named = names.one(kinds[kind], holder_id) or Named(id=holder_id, name=None)
        found.append(
            AccuracyFigure(
                holder_kind=coded(forecast_labels.HOLDERS, kind, asking.language),
                holder=named,
                days_from=None,
                days_to=None,
                currency=currency,
                **_measures(some, ask, asking, holder=holder_id, currency=currency),
            )
        )
    return found


async def _of_horizons(samples: Sequence[Sample], ask: AccuracyQuery, asking: Asking) -> list[AccuracyFigure]:
    return [
        AccuracyFigure(
            holder_kind=None,
            holder=None,
            days_from=first,
            days_to=last,
            currency=currency,
            **_measures(some, ask, asking, days_from=first, days_to=last, currency=currency),
        )
        for ((first, last), currency), some in by_horizon(samples).items()
    ]


def _drill(ask: AccuracyQuery, asking: Asking, to: str = "submissions", **chosen: Any) -> str:
    said = ask.model_dump(exclude={"group_by", "period", "format"}) | {"within": ask.period, "ended": True} | chosen
    asked = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in said.items()
        if value not in (None, [])
    }
    return f"{asking.root}/forecast/{to}?{urlencode(asked, doseq=True)}"


def _measures(samples: Sequence[Sample], ask: AccuracyQuery, asking: Asking, **chosen: Any) -> dict[str, Any]:
    """With the links to the submissions behind them: not all of those in a currency were judged in it."""
    all_, judged = _drill(ask, asking, **chosen), _drill(ask, asking, **chosen, judged=True)
    measured: dict[str, Any] = {
        name: _compared(against(samples, name), judged if name == "judged" else all_) for name in MEASURES
    }
    return {"drill": all_, **measured}


def _compared(found: Against | None, drill: str) -> Compared | None:
    if found is None:
        return None
    return Compared(
        submissions=found.submissions,
        submitted_minor=found.submitted,
        won_minor=found.won,
        ratio_bp=found.ratio_bp,
        error_minor=found.error,
        absolute_error_minor=found.absolute_error,
        drill=drill,
    )


def _stages(rows: Sequence[RowMapping], names: Labeller, ask: AccuracyQuery, asking: Asking) -> Iterator[StageFigure]:
    for (process, stage), found in groupby(rows, key=lambda row: (row["process"], row["stage"])):
        of, place = list(found), {"to": "submissions/lines", "process": process, "stage": stage}
        lines, won = sum(row["lines"] for row in of), sum(row["won"] for row in of)
        yield StageFigure(
            process=process,
            stage=stage,
            label=names.group("stage", stage, process).label,
            lines=lines,
            won=won,
            expected_bp=share_bp(sum(row["doubled"] for row in of), 200 * lines) or 0,
            won_bp=share_bp(won, lines) or 0,
            drill=_drill(ask, asking, **place),
            worth=[
                _worth(row, _drill(ask, asking, **place, currency=row["currency"]))
                for row in of
                if row["currency"] is not None
            ],
        )


def _worth(row: RowMapping, drill: str) -> StageMoney:
    names = ("currency", "lines", "weighted_minor", "won_minor")
    error = row["weighted_minor"] - row["won_minor"]
    return StageMoney(**{name: row[name] for name in names}, error_minor=error, drill=drill)
