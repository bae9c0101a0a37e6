"""What gates refuse: on record, and told in the caller's language."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

import orjson
import structlog
from fastapi import Request, Response
from pydantic import BaseModel

from services.opportunity.api.gate_words import refusal_told
from services.opportunity.domain.gates.evaluate import GateRefusedError
from services.opportunity.gating import record_stop
from shared.eventstore.types import JsonObject
from shared.web.commanding import Commander
from shared.web.language import preferred

STOPS = "gates"  # what their command ids begin with: those of callers begin otherwise

log = structlog.get_logger(__name__)


async def held_to_gates(
    run: Callable[[], Awaitable[Response]], body: BaseModel, command: Commander, request: Request
) -> Response:
    """The answer of a command that gates may stand before."""
    try:
        return await run()
    except GateRefusedError as refusal:
        await _record(body, command, refusal)
        raise refusal_told(refusal, preferred(request.headers.get("accept-language"))) from refusal


async def _record(body: BaseModel, command: Commander, refusal: GateRefusedError) -> None:
    """Under an id made from that of what was refused and from its input: a retry of it counts once. That this fails changes
    nothing about the refusal, which is what the caller is told."""
    context, opportunity_id = command.context, refusal.opportunity_id
    if context.dry_run or opportunity_id is None:
        return
    told: JsonObject = {"path": command.path, "body": body.model_dump(mode="json", exclude_unset=True)}
    command_id = None if context.command_id is None else _id(context.command_id, told)
    following = replace(context, command_id=command_id, if_match=None, occurred_at=None)
    backend = command.backend
    try:
        await backend.commands.run(
            following, told, lambda work: record_stop(work, opportunity_id, refusal, backend.store.load)
        )
    except Exception as error:
        gates = [one.gate for one in refusal.stopped]
        log.exception("a stop is not on record", opportunity_id=opportunity_id, gates=gates, error=str(error))


def _id(command_id: str, told: JsonObject) -> str:
    said = orjson.dumps([command_id, told], option=orjson.OPT_SORT_KEYS)
    return f"{STOPS}/{hashlib.sha256(said).hexdigest()}"
