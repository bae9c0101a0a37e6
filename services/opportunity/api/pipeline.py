"""The pipeline: how many and how much stand in each stage (R2), each figure with a link to the rows behind it."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from services.opportunity.api.asking import AskingNow
from services.opportunity.api.converting import Converting, converter
from services.opportunity.api.funnel import FunnelQuery, settled
from services.opportunity.api.groups import labeller, narrowed_to
from services.opportunity.api.pipeline_file import pipeline_file
from services.opportunity.api.pipeline_told import PipelineAnswer, PipelineFigure, PipelineSum, Teller
from services.opportunity.api.roles import MAY_READ
from services.opportunity.queries.funnel import GroupBy
from services.opportunity.queries.pipeline import pipeline
from shared.web.commanding import PROBLEMS
from shared.web.export import FILES, AcceptedNow, Exported

router = APIRouter(tags=["pipeline"], dependencies=[MAY_READ])


class PipelineQuery(FunnelQuery, Converting, Exported):
    """What is counted, under which groups, and into which currency it is converted beside."""

    group_by: list[GroupBy] = Field(
        default=["stage"],
        min_length=1,
        max_length=11,
        description="Several make a figure for each combination. Stages are always told apart by process.",
    )


@router.get(
    "/pipeline",
    summary="What stands where, and what it promises",
    operation_id="pipeline",
    response_model=PipelineAnswer,
    responses={**PROBLEMS, 200: {"content": FILES}},
)
async def pipeline_now(
    ask: Annotated[PipelineQuery, Query()], asking: AskingNow, accepted: AcceptedNow
) -> PipelineAnswer | Response:
    """As it was on any day (`as_of`), by what was known on any day (`known_at`)."""
    ask, by = settled(ask)
    view = await asking.view(ask)
    found = await pipeline(asking.connection, view, by)
    currencies = {row["currency"] for row in found.total.worth}
    beside = await converter(asking, ask, currencies, view.as_of, view.known_at)
    names = await labeller(asking.connection, asking.language, [group.all for group in found.groups])
    form = ask.format or accepted
    if form != "json":
        return await pipeline_file(form, found.groups, by, names, beside, asking)
    teller = Teller(ask, asking, beside)
    figures = []
    for group in found.groups:
        at = {name: group.all[name] for name in by}
        told = {name: names.group(name, value, at.get("process")) for name, value in at.items()}
        figures.append(PipelineFigure(groups=told, **teller.figures(group, narrowed_to(at))))
    return PipelineAnswer(
        group_by=by,
        belonging=ask.belonging,
        as_of=view.as_of,
        known_at=view.known_at,
        figures=figures,
        totals=PipelineSum(**teller.figures(found.total, {})),
        rate_on=beside.on if beside else None,
        rates=beside.used if beside else [],
    )
