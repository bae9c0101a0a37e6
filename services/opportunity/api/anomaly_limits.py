"""The limits of what is normal (R2): what they are, what they were, and a new version of them."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response
from pydantic import BaseModel
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.api.roles import MAY_DEFINE, MAY_READ
from services.opportunity.api.versions import versions_of
from services.opportunity.domain.anomalies.limits import (
    DEFAULT_LIMITS,
    DEFAULT_LIMITS_KEY,
    AnomalyLimits,
    DefineAnomalyLimits,
)
from services.opportunity.judging import define_limits
from services.opportunity.projections.deal_control import anomaly_limits, deal_control
from shared.contracts.opportunity import StageLimit
from shared.eventstore.commands import Work
from shared.eventstore.types import JsonObject
from shared.kit.money import Money
from shared.web.commanding import ANSWERS, PROBLEMS, Commanding, etag
from shared.web.reading import reading

router = APIRouter(tags=["pipeline"])
Connection = Annotated[AsyncConnection, Depends(reading(deal_control), scope="function")]
_EXAMPLE = {"the first limits": {"value": DEFAULT_LIMITS.model_dump(mode="json", exclude={"occurred_at"})}}


class LimitsVersion(BaseModel):
    """Days an opportunity may stand in each stage (`other_stages_days`: in those not named; null: without limit) · how often its
    close date may be put off until it slips · stages between selling and buying from which it is out of sync · from which amount
    on it is big, below which per cent it is early, and how many days before its close date · how many of a person's
    opportunities, and which share of them in per cent, make a pile in one stage · days in which a person may open none."""

    version: int
    effective_from: datetime
    stages: tuple[StageLimit, ...]
    other_stages_days: int | None
    pushed_out: int
    out_of_sync_by: int
    big: tuple[Money, ...]
    early_below: int
    near_close_days: int
    pile_up_count: int
    pile_up_share: int
    nothing_new_days: int


class LimitsVersions(BaseModel):
    """In order; the last one is what counts unless another is asked for."""

    items: list[LimitsVersion]


@router.get(
    "/anomaly-limits",
    summary="From where on something is abnormal",
    operation_id="anomaly_limits",
    dependencies=[MAY_READ],
    responses=PROBLEMS,
)
async def latest(connection: Connection, response: Response) -> LimitsVersion:
    """From when on an opportunity is abnormal, as it is said now."""
    rows = await versions_of(connection, anomaly_limits, DEFAULT_LIMITS_KEY)
    response.headers.update(etag(len(rows)))
    return _version(rows[-1])


@router.get(
    "/anomaly-limits/versions",
    summary="From where on something was abnormal, version by version",
    operation_id="anomaly_limits_versions",
    dependencies=[MAY_READ],
    responses=PROBLEMS,
)
async def versions(connection: Connection) -> LimitsVersions:
    """All of them, the oldest first."""
    return LimitsVersions(
        items=[_version(row) for row in await versions_of(connection, anomaly_limits, DEFAULT_LIMITS_KEY)]
    )


@router.post(
    "/anomaly-limits",
    summary="Say from where on something is abnormal",
    operation_id="define_anomaly_limits",
    dependencies=[MAY_DEFINE],
    **ANSWERS | {"responses": {**PROBLEMS, 201: {"description": "a new version"}}},
)
async def define(
    body: Annotated[DefineAnomalyLimits, Body(openapi_examples=_EXAMPLE)], command: Commanding
) -> Response:
    """A new version, complete, unless the latest says the same."""

    async def decide(work: Work) -> JsonObject:
        answer = await define_limits(work, DEFAULT_LIMITS_KEY, body)
        return {"id": DEFAULT_LIMITS_KEY, "created": bool(work.pending), "limits_version": answer["version_number"]}

    return await command.run(body, decide, status=201)


def _version(row: RowMapping) -> LimitsVersion:
    limits = AnomalyLimits.model_validate(row["limits"])
    return LimitsVersion(effective_from=row["effective_from"], **limits.model_dump(exclude={"key"}))
