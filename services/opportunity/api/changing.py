"""Changing an opportunity: a route for each step, made from one table, and several steps in one append."""

import inspect
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, create_model

from services.opportunity.api.references import OrganisationNow
from services.opportunity.api.roles import MAY_COMMAND, MAY_CONCEDE, check_migration
from services.opportunity.api.steps import STEPS, Step
from services.opportunity.api.stops import held_to_gates
from services.opportunity.commands import Acting, change
from services.opportunity.domain.opportunity.concessions import GrantConcessions
from services.opportunity.domain.opportunity.decide import Change
from services.opportunity.visibility import within
from shared.contracts.opportunity import Code, EntityId
from shared.eventstore.commands import Work
from shared.eventstore.types import JsonObject
from shared.web.commanding import ANSWERS, Commander, Commanding

router = APIRouter(tags=["opportunities: changing"], dependencies=[MAY_COMMAND])
conceding = APIRouter(tags=["opportunities: changing"], dependencies=[MAY_CONCEDE])
"""Terms of payment are also for finance to grant: how far is told by the authority matrix."""
OpportunityId = Annotated[EntityId, Path(description="The opportunity.")]


class Changes(BaseModel):
    """Steps to take one after the other, each with its `action`; all are recorded, or none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    changes: tuple[Change, ...] = Field(min_length=1, max_length=100)


@router.post(
    "/opportunities/{opportunity_id}/changes",
    summary="Several steps in one append",
    operation_id="changes",
    **ANSWERS,
)
async def changes(
    opportunity_id: OpportunityId,
    body: Annotated[
        Changes,
        Body(
            openapi_examples={
                "two steps": {
                    "value": {
                        "changes": [
                            {"action": step.operation, **step.example}
                            for step in STEPS
                            if step.operation in ("amount", "comment")
                        ]
                    }
                }
            }
        ),
    ],
    command: Commanding,
    organisation: OrganisationNow,
    request: Request,
) -> Response:
    """Decided one after the other, each on what those before lead to; the first refusal refuses them all."""
    return await _carry_out(opportunity_id, body, list(body.changes), command, organisation, request, "changes")


async def _carry_out(
    opportunity_id: str,
    body: BaseModel,
    commands: list[Any],
    command: Commander,
    organisation: OrganisationNow,
    request: Request,
    prefix: str = "",
) -> Response:
    check_migration(commands, command.caller, prefix)
    known = await organisation.known(commands)

    async def decide(work: Work) -> JsonObject:
        known.check(commands, prefix)
        acting = Acting(command.caller.roles, command.backend.calendar)
        answer = await change(work, opportunity_id, commands, within(command.scope), acting)
        return {"id": answer["opportunity_id"]}

    return await held_to_gates(partial(command.run, body, decide), body, command, request)


def _add(step: Step) -> None:
    async def route(
        opportunity_id: OpportunityId, body: Any, command: Commanding, organisation: OrganisationNow, request: Request
    ) -> Response:
        return await _carry_out(opportunity_id, body, [body], command, organisation, request)

    async def coded(
        opportunity_id: OpportunityId,
        code: Any,
        body: Any,
        command: Commanding,
        organisation: OrganisationNow,
        request: Request,
    ) -> Response:
        said = body.model_dump(exclude_unset=True) | {step.code: code}
        return await _carry_out(opportunity_id, body, [step.command(**said)], command, organisation, request)

    model = step.command if step.code is None else _without(step.command, step.code)
    chosen = route if step.code is None else coded
    chosen.__annotations__["body"] = Annotated[model, Body(openapi_examples={"example": {"value": step.example}})]
    if step.code is not None:
        chosen.__annotations__["code"] = Annotated[Code, Path(alias=step.code, description="What is taken back.")]
    target = conceding if step.command is GrantConcessions else router
    target.add_api_route(
        f"/opportunities/{{opportunity_id}}/{step.path}",
        chosen,
        methods=["POST"],
        summary=step.summary,
        description=inspect.cleandoc(step.command.__doc__ or ""),
        operation_id=step.operation,
        **ANSWERS,
    )


def _without(command: type[BaseModel], code: str) -> type[BaseModel]:
    """The command without a field that stands in the path."""
    fields: dict[str, Any] = {
        name: (field.rebuild_annotation(), field) for name, field in command.model_fields.items() if name != code
    }
    config = ConfigDict(frozen=True, extra="forbid")
    return create_model(f"{command.__name__}Body", __config__=config, __doc__=command.__doc__, **fields)


for _step in STEPS:
    _add(_step)
