"""The assessment model (R4): what it is, what it was, and a new version of it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response
from pydantic import BaseModel
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity import labels
from services.opportunity.api.roles import MAY_DEFINE, MAY_READ
from services.opportunity.api.rows import Coded, coded
from services.opportunity.api.versions import versions_of
from services.opportunity.domain.assessment.model import (
    DEFAULT_MODEL,
    DEFAULT_MODEL_KEY,
    AssessmentModel,
    DefineAssessmentModel,
)
from services.opportunity.judging import define_model
from services.opportunity.projections.deal_control import assessment_model, deal_control
from shared.eventstore.commands import Work
from shared.eventstore.types import JsonObject
from shared.web.commanding import ANSWERS, PROBLEMS, Commanding, etag
from shared.web.language import Language, LanguageNow, label
from shared.web.reading import reading

router = APIRouter(tags=["assessment"])
Connection = Annotated[AsyncConnection, Depends(reading(deal_control), scope="function")]
_EXAMPLE = {"nine factors": {"value": DEFAULT_MODEL.model_dump(mode="json", exclude={"occurred_at"})}}


class FactorItem(Coded):
    names: dict[str, str]
    weight: int


class PriorityItem(BaseModel):
    """Who has the priority. `closes_within_days` null: whenever. `deserves`: its share of all effort, in per cent."""

    priority: Coded
    closes_within_days: int | None
    probability_from: int
    deserves: int


class ModelVersion(BaseModel):
    """`threshold`: the weighted average, in hundredths of a point, below which a decision is due."""

    version: int
    effective_from: datetime
    factors: list[FactorItem]
    highest_score: int
    threshold: int
    priorities: list[PriorityItem]


class ModelVersions(BaseModel):
    """In order; the last one is what is assessed by now."""

    items: list[ModelVersion]


@router.get(
    "/assessment-model",
    summary="What opportunities are assessed by",
    operation_id="assessment_model",
    dependencies=[MAY_READ],
    responses=PROBLEMS,
)
async def latest(connection: Connection, language: LanguageNow, response: Response) -> ModelVersion:
    """Factors, weights, scale and threshold by which opportunities are scored now, and the rules of priority."""
    rows = await versions_of(connection, assessment_model, DEFAULT_MODEL_KEY)
    response.headers.update(etag(len(rows)))
    return _version(rows[-1], language)


@router.get(
    "/assessment-model/versions",
    summary="What opportunities were assessed by, version by version",
    operation_id="assessment_model_versions",
    dependencies=[MAY_READ],
    responses=PROBLEMS,
)
async def versions(connection: Connection, language: LanguageNow) -> ModelVersions:
    """All of them, the oldest first: a score was given under one of them."""
    return ModelVersions(
        items=[_version(row, language) for row in await versions_of(connection, assessment_model, DEFAULT_MODEL_KEY)]
    )


@router.post(
    "/assessment-model",
    summary="Say what opportunities are assessed by from now on",
    operation_id="define_assessment_model",
    dependencies=[MAY_DEFINE],
    **ANSWERS | {"responses": {**PROBLEMS, 201: {"description": "a new version"}}},
)
async def define(
    body: Annotated[DefineAssessmentModel, Body(openapi_examples=_EXAMPLE)], command: Commanding
) -> Response:
    """A new version, unless the latest says the same. What was assessed keeps the version that it was assessed under; priorities
    are always by the latest."""

    async def decide(work: Work) -> JsonObject:
        answer = await define_model(work, DEFAULT_MODEL_KEY, body)
        return {"id": DEFAULT_MODEL_KEY, "created": bool(work.pending), "model_version": answer["version_number"]}

    return await command.run(body, decide, status=201)


def _version(row: RowMapping, language: Language) -> ModelVersion:
    model = AssessmentModel.model_validate(row["model"])
    return ModelVersion(
        version=model.version,
        effective_from=row["effective_from"],
        factors=[
            FactorItem(code=one.code, label=label(one.names, language, one.code), names=one.names, weight=one.weight)
            for one in model.factors
        ],
        highest_score=model.highest_score,
        threshold=model.threshold,
        priorities=[
            PriorityItem(
                priority=coded(labels.PRIORITIES, rule.priority, language),
                closes_within_days=rule.closes_within_days,
                probability_from=rule.probability_from,
                deserves=rule.deserves,
            )
            for rule in model.priorities
        ],
    )
