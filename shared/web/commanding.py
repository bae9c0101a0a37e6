"""From a request to a command and back: identity, idempotency, `If-Match`, dry run; the answer with ETag and position token.

A route says what is decided, and nothing else::

    @router.post("/opportunities/{opportunity_id}/comments", **ANSWERS)
    async def comment(opportunity_id: EntityId, body: Comment, command: Commanding) -> Response:
        return await command.run(body, lambda work: change(work, opportunity_id, [body], within(command.scope)))
"""

import asyncio
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from fastapi import Depends, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.event import Envelope, Recorded, encode
from shared.eventstore.commands import CommandContext, Decide, Outcome
from shared.eventstore.types import JsonObject, Pending
from shared.log.port import PARTITIONS
from shared.projections.tokens import BadTokenError, format_token, merge, parse_token
from shared.relay.partition import partition_of
from shared.relay.recover import LOST_TYPE
from shared.service.backend import Backend
from shared.service.visibility import EVERYTHING, Scope
from shared.web.auth import Caller, CallerNow
from shared.web.problems import Problem, ProblemError, answer_to, bad_request, tell

POSITION = "Keyfold-Position"
CALLERS = "caller"  # what their command ids begin with: no login can take the id of a reactor, a rule or a seed
REPLAYED = "Idempotency-Replayed"
LARGEST_BATCH = 500
Beside = Callable[[Outcome, JsonObject], JsonObject]
_ETAG = re.compile(r'"(\d{1,9})"')


class EventTold(BaseModel):
    """An event that a command led to; in a dry run, would lead to."""

    type: str = Field(examples=["opportunity.stage_completed"])
    stream_id: str
    occurred_at: datetime
    data: dict[str, Any]


class CommandAnswer(BaseModel):
    """`version` of the entity afterwards (the ETag). `position`: send it with a read to see this write; null when nothing was
    written. `events`: what was recorded, none when there was nothing to do."""

    model_config = ConfigDict(extra="allow")

    id: str
    created: bool = False
    version: int
    position: str | None = Field(examples=["opportunity/3@1234"])
    dry_run: bool = False
    events: list[EventTold]


class BatchItem(BaseModel):
    """One item of a batch: its answer, or why it was not taken. `status` is what it would have got alone."""

    index: int
    status: int
    answer: CommandAnswer | None = None
    problem: Problem | None = None


class BatchAnswer(BaseModel):
    """`accepted + refused` = number of items sent."""

    accepted: int
    refused: int
    position: str | None
    items: list[BatchItem]


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": meaning}
    for status, meaning in {
        400: "the request is malformed",
        401: "no valid token",
        403: "not allowed",
        404: "there is no such thing",
        409: "the business says no",
        412: "`If-Match` names another version",
        413: "the body is too large",
        422: "the input cannot be right",
        503: "try again shortly",
    }.items()
}
ANSWERS: dict[str, Any] = {"response_model": CommandAnswer, "responses": PROBLEMS}


async def backend_of(request: Request) -> Backend:
    """For routes. What every command depends on asks here itself: a dependency costs as much as a small query to find."""
    backend: Backend = request.app.state.backend
    return backend


BackendNow = Annotated[Backend, Depends(backend_of)]


async def position_of(
    request: Request,
    position: Annotated[
        str | None,
        Header(
            alias=POSITION,
            max_length=2_000,
            description="The position of a write that must be visible, else 503.",
            examples=["opportunity/3@1234"],
        ),
    ] = None,
) -> str | None:
    """The token, if it can be one: nobody waits for what was never written. Raises BadTokenError."""
    if not position:
        return None
    backend = await backend_of(request)
    head = await backend.store.head()
    for (service, partition), at in parse_token(position).items():
        if partition >= PARTITIONS:
            raise BadTokenError(f"there is no partition {partition}, only 0 to {PARTITIONS - 1}")
        if service == backend.service.name and at > head:
            raise BadTokenError(f"nothing is recorded at position {at} of {service}, which ends at {head}")
    return position


PositionNow = Annotated[str | None, Depends(position_of)]


async def scope_of_caller(request: Request, who: CallerNow, position: PositionNow) -> Scope:
    """Whose records the caller may see: everything for some roles, else what teams and their managers give."""
    backend = await backend_of(request)
    found = await backend.scopes.of(who.subject, backend.clock.now(), position)
    return replace(EVERYTHING, person_id=found.person_id) if who.sees_everything else found


ScopeNow = Annotated[Scope, Depends(scope_of_caller)]


@dataclass(frozen=True)
class Commander:
    """What a route needs to carry out commands in the name of its caller. `path` is that of the request, within the service."""

    backend: Backend
    caller: Caller
    scope: Scope
    context: CommandContext
    path: str

    async def run(
        self,
        body: BaseModel | None,
        decide: Decide,
        *,
        status: int = 200,
        location: str | None = None,
        beside: Beside | None = None,
    ) -> Response:
        """Decide, append, answer. `status` 201 for what makes something new (a replay answers as the first time): it is found
        under `location` followed by its id. `beside`: what this caller is told and nobody keeps, such as a secret;
        it is given the outcome and the answer."""
        outcome = await self.outcome(body, decide)
        answer = await self.answer(outcome)
        if beside is not None:
            answer |= beside(outcome, answer)
        code = status if answer.get("created", True) else 200
        headers = {"ETag": f'"{outcome.version}"'}
        if answer["position"]:
            headers[POSITION] = answer["position"]
        if outcome.replayed:
            headers[REPLAYED] = "true"
        if code == 201 and location is not None:
            headers["Location"] = location + quote(str(answer["id"]))
        return Response(orjson.dumps(answer), code, headers, "application/json")

    async def outcome(self, body: BaseModel | None, decide: Decide) -> Outcome:
        return await self.backend.commands.run(self._context(body), self._input(body), decide)

    async def batch(
        self, bodies: Sequence[BaseModel], decisions: Sequence[Decide], lanes: Sequence[Hashable] | None = None
    ) -> BatchAnswer:
        """Every item a command of its own, under the key `key/i`; the others go on when one is refused."""
        if len(bodies) > LARGEST_BATCH:
            raise ProblemError(
                413, "batch_too_large", f"a batch has at most {LARGEST_BATCH} items, this one has {len(bodies)}"
            )
        commands = [
            (self._context(body, index), self._input(body), decide)
            for index, (body, decide) in enumerate(zip(bodies, decisions, strict=True))
        ]
        outcomes = await self.backend.commands.run_many(commands, lanes)
        items = await asyncio.gather(*(self._item(index, outcome) for index, outcome in enumerate(outcomes)))
        accepted = sum(item.answer is not None for item in items)
        positions = [item.answer.position for item in items if item.answer and item.answer.position]
        return BatchAnswer(
            accepted=accepted, refused=len(items) - accepted, position=furthest(positions), items=list(items)
        )

    async def _item(self, index: int, outcome: Outcome | Exception) -> BatchItem:
        if isinstance(outcome, Outcome):
            answer = await self.answer(outcome)
            return BatchItem(index=index, status=201 if answer["created"] else 200, answer=CommandAnswer(**answer))
        problem = answer_to(outcome, self.path)  # the other items are done, whatever became of this one
        told = tell(problem, f"{self.path}#{index}", self.context.correlation_id.hex)
        return BatchItem(index=index, status=problem.status, problem=told)

    def _context(self, body: BaseModel | None, index: int | None = None) -> CommandContext:
        command_id = self.context.command_id
        if command_id is not None and index is not None:
            command_id = f"{command_id}/{index}"
        return replace(self.context, command_id=command_id, occurred_at=getattr(body, "occurred_at", None))

    def _input(self, body: BaseModel | None) -> JsonObject:
        said = body.model_dump(mode="json", exclude_unset=True) if body is not None else None
        return {"path": self.path, "body": said}

    async def answer(self, outcome: Outcome) -> JsonObject:
        """The body of the answer; that of a replay is the first one again, read from the store."""
        events: Sequence[Recorded[Any] | Pending] = outcome.events
        if outcome.replayed and outcome.last:
            store = self.backend.store
            envelopes = await store.envelopes(outcome.first - 1, outcome.last - outcome.first + 1)
            events = [store.contract.open(envelope) for envelope in _written_together(envelopes, outcome.first)]
        told = {
            "version": outcome.version,
            "position": token_of(self.backend.service.name, events),
            "dry_run": outcome.dry_run,
            "events": [_told(event) for event in events],
        }
        return {"created": False} | outcome.answer | told


def _written_together(envelopes: Sequence[Envelope], first: int) -> list[Envelope]:
    """The events of the command whose first one is at position `first`. After a loss, markers or events of somebody else may be at
    the positions that it had."""
    if not envelopes or envelopes[0].position != first:
        return []
    cause = envelopes[0].actor, envelopes[0].correlation_id
    return [
        envelope
        for envelope in envelopes
        if (envelope.actor, envelope.correlation_id) == cause and envelope.type_name != LOST_TYPE
    ]


def token_of(service: str, events: Sequence[Recorded[Any] | Pending]) -> str | None:
    """The position token of recorded events: the last position in each partition they went to."""
    reached: dict[tuple[str, int], int] = {}
    for event in events:
        if isinstance(event, Recorded):
            key = (service, partition_of(event.stream_id))
            reached[key] = max(event.position, reached.get(key, 0))
    return format_token(reached) if reached else None


def furthest(tokens: Sequence[str]) -> str | None:
    """One token for several."""
    return format_token(merge(parse_token(token) for token in tokens)) if tokens else None


def _told(event: Recorded[Any] | Pending) -> JsonObject:
    return {
        "type": event.event.type_name,
        "stream_id": event.stream_id,
        "occurred_at": event.occurred_at.isoformat(),
        "data": orjson.loads(encode(event.event)),
    }


async def commander(
    request: Request,
    who: CallerNow,
    scope: ScopeNow,
    idempotency_key: Annotated[
        str | None,
        Header(
            max_length=200,
            description="Makes the command safe to retry, for ever: the same key gets the first answer again.",
        ),
    ] = None,
    if_match: Annotated[
        str | None,
        Header(max_length=200, description="The ETag that the entity must still have, else 412.", examples=['"3"']),
    ] = None,
    dry_run: Annotated[bool, Query(description="Decide and check, write nothing.")] = False,
) -> Commander:
    backend, trace = await backend_of(request), request.state.trace
    context = CommandContext(
        actor=who.subject,
        now=backend.clock.now(),
        correlation_id=trace.correlation_id,
        traceparent=trace.traceparent,
        command_id=None if idempotency_key is None else f"{CALLERS}/{who.subject}/{_key(idempotency_key)}",
        if_match=_version(if_match),
        dry_run=dry_run,
    )
    return Commander(backend, who, scope, context, _path(request))


def _path(request: Request) -> str:
    """Within the service: a command that is retried through another gateway, or in the other form, is the same one."""
    root, path = request.scope.get("root_path", "").rstrip("/"), request.url.path
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


Commanding = Annotated[Commander, Depends(commander)]


def etag(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"'}


def _key(text: str) -> str:
    if not text.strip():
        raise bad_request(
            "bad_idempotency_key", "the Idempotency-Key is empty", field="Idempotency-Key", expected="such as a UUID"
        )
    return text


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise bad_request(
            "bad_if_match", f"If-Match {if_match[:50]!r} is no ETag of ours", field="If-Match", expected='such as "3"'
        )
    return int(match[1])
