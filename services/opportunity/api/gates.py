"""Gates and the authority matrix: what they are, and new versions of them (R5)."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import BaseModel

from services.opportunity import gate_labels
from services.opportunity.api.asking import Asking, AskingNow
from services.opportunity.api.cursors import after_of, page_after
from services.opportunity.api.gate_words import (
    GateDetail,
    GateItem,
    GateVersion,
    version_told,
)
from services.opportunity.api.roles import MAY_DEFINE, MAY_READ
from services.opportunity.api.rows import Coded, coded
from services.opportunity.domain.gates.book import DefineGate, RetireGate, unknown_gate
from services.opportunity.domain.gates.conditions import TESTS
from services.opportunity.domain.gates.defaults import DEFAULT_GATES
from services.opportunity.domain.gates.facts import FACTS
from services.opportunity.gating import define_gate, retire_gate
from services.opportunity.queries.gates import ReadBook, read_book
from shared.contracts.opportunity import GateDefined
from shared.contracts.opportunity.gates import Key, Mode
from shared.web.commanding import ANSWERS, PROBLEMS, Commanding, etag
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page

router = APIRouter(tags=["gates"])
GateKey = Annotated[Key, Path(description="The gate.", examples=["price_for_terms"])]
RULE_EXAMPLE = DEFAULT_GATES["price_for_terms"].rule.model_dump(mode="json", exclude_none=True)
_MADE = ANSWERS | {"responses": {**PROBLEMS, 201: {"description": "a new version"}}}


class NewGate(DefineGate):
    """A gate under a key of its own."""

    key: Key


class GatePage(Page[GateItem]):
    """By key."""


class FactItem(Coded):
    """A fact that conditions may speak of, and the tests it can be put to."""

    kind: str
    tests: list[str]


class FactList(BaseModel):
    items: list[FactItem]


@router.get("/gates", summary="All gates", operation_id="gates", dependencies=[MAY_READ], responses=PROBLEMS)
async def list_gates(
    asking: AskingNow,
    response: Response,
    mode: Annotated[Mode | None, Query(description="Only these.")] = None,
    force: Annotated[
        Literal["in_force", "all"], Query(description="Those that bind now, or also those that do not.")
    ] = "all",
    cursor: CursorText = None,
    limit: Limit = DEFAULT_LIMIT,
) -> GatePage:
    """Each as it is in force; one that is not, in its latest version."""
    question = ["gates", mode, force]
    after = after_of(question, cursor, Key)
    read = await read_book(asking.connection)
    response.headers.update(etag(read.version))
    in_force = {gate.key: gate for gate in read.book.gates(asking.now)}
    shown = {key: in_force.get(key) or read.book.versions(key)[-1] for key in sorted(read.book.entries)}
    kept = [
        gate for key, gate in shown.items() if (force == "all" or key in in_force) and mode in (None, gate.rule.mode)
    ]
    rows, following = page_after(kept, limit, question, lambda gate: (gate.key,), after)
    items = [GateItem(key=one.key, in_force=one.key in in_force, latest=version_of(read, one, asking)) for one in rows]
    return GatePage(items=items, next_cursor=following)


@router.get(
    "/gates/facts",
    summary="What conditions may speak of",
    operation_id="gate_facts",
    dependencies=[MAY_READ],
    responses=PROBLEMS,
)
async def facts(asking: AskingNow) -> FactList:
    """What a condition may ask of an opportunity, and which tests go with it."""
    return FactList(
        items=[
            FactItem(
                code=name,
                label=coded(gate_labels.FACT_NAMES, name, asking.language).label,
                kind=fact.kind,
                tests=list(TESTS[fact.kind]),
            )
            for name, fact in FACTS.items()
        ]
    )


@router.post("/gates", status_code=201, summary="Define a gate", operation_id="define_gate",
             dependencies=[MAY_DEFINE], **_MADE)  # fmt: skip
async def new_gate(
    body: Annotated[NewGate, Body(openapi_examples={"example": {"value": {"key": "no_gift", "rule": RULE_EXAMPLE}}})],
    request: Request,
    command: Commanding,
) -> Response:
    """In force from now on, unless it says otherwise. Its proofs must hold."""
    said = DefineGate(**{name: getattr(body, name) for name in body.model_fields_set - {"key"}})
    location = f"{request.scope.get('root_path', '')}/gates/"
    return await command.run(
        body, lambda work: define_gate(work, body.key, said, new=True), status=201, location=location
    )


@router.get("/gates/{key}", summary="A gate as it is", operation_id="gate",
            dependencies=[MAY_READ], responses=PROBLEMS)  # fmt: skip
async def one_gate(key: GateKey, asking: AskingNow, response: Response) -> GateDetail:
    """In its version in force, else in its latest one."""
    read = await book_with(key, asking, response)
    current, versions = read.book.in_force(key, asking.now), read.book.versions(key)
    told = version_of(read, current or versions[-1], asking)
    return GateDetail(
        key=key,
        label=told.label,
        in_force=None if current is None else current.version,
        latest=told,
        versions=len(versions),
        versions_drill=f"{asking.root}/gates/{key}/versions",
        retirements=len(read.gates[key]) - len(versions),
        retirements_drill=f"{asking.root}/gates/{key}/retirements",
    )


@router.post("/gates/{key}/versions", status_code=201, summary="Say how a gate is from now on",
             operation_id="define_gate_version", dependencies=[MAY_DEFINE], **_MADE)  # fmt: skip
async def new_version(
    key: GateKey,
    body: Annotated[DefineGate, Body(openapi_examples={"example": {"value": {"rule": RULE_EXAMPLE}}})],
    request: Request,
    command: Commanding,
) -> Response:
    """A new version, unless the last one says the same."""
    location = f"{request.scope.get('root_path', '')}/gates/"
    return await command.run(body, lambda work: define_gate(work, key, body, new=False), status=201, location=location)


@router.post("/gates/{key}/retirement", summary="Retire a gate", operation_id="retire_gate",
             dependencies=[MAY_DEFINE], **ANSWERS)  # fmt: skip
async def retire(
    key: GateKey,
    body: Annotated[RetireGate, Body(openapi_examples={"example": {"value": {"reason": "The matrix covers it"}}})],
    command: Commanding,
) -> Response:
    """What it said stays on record. A later version puts it in force again."""
    return await command.run(body, lambda work: retire_gate(work, key, body))


async def book_with(key: str, asking: Asking, response: Response) -> ReadBook:
    """The book; refuses a gate that is not in it."""
    read = await read_book(asking.connection)
    if key not in read.book.entries:
        raise unknown_gate(read.book, key)
    response.headers.update(etag(read.version))
    return read


def version_of(read: ReadBook, gate: GateDefined, asking: Asking) -> GateVersion:
    said = read.version_of(gate)
    return version_told(read.book, gate, said.actor, said.recorded_at, asking.now, asking.language)
