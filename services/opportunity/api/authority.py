"""The authority matrix: who may concede what up to which amount (R5)."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel

from services.opportunity.api.asking import AskingNow
from services.opportunity.api.cursors import after_of, page_after
from services.opportunity.api.roles import MAY_DEFINE, MAY_READ
from services.opportunity.domain.gates.book import DefineAuthority
from services.opportunity.domain.gates.defaults import DEFAULT_AUTHORITY
from services.opportunity.gating import define_authority
from services.opportunity.queries.gates import Written, read_book
from shared.contracts.opportunity import AuthorityDefined, Grant
from shared.web.commanding import ANSWERS, PROBLEMS, Commanding, etag
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page

router = APIRouter(tags=["gates"])
_AUTHORITY = DEFAULT_AUTHORITY.model_dump(mode="json", exclude_none=True)
_QUESTION = ["authority"]
_MADE = ANSWERS | {"responses": {**PROBLEMS, 201: {"description": "a new version"}}}


class AuthorityVersion(BaseModel):
    """Limits of discounts and prices in basis points, of payment terms and waivers in days."""

    version: int
    standard_payment_days: int
    longest_waiver_days: int
    grants: tuple[Grant, ...]
    effective_from: datetime
    defined_by: str
    defined_at: datetime


class Authority(Page[AuthorityVersion]):
    """All versions, newest first. `in_force`: the one that counts now; null: nobody may concede anything."""

    in_force: int | None


@router.get("/authority", summary="Who may concede what", operation_id="authority",
            dependencies=[MAY_READ], responses=PROBLEMS)  # fmt: skip
async def authority(
    asking: AskingNow, response: Response, cursor: CursorText = None, limit: Limit = DEFAULT_LIMIT
) -> Authority:
    """The versions of the matrix, the newest first, and which of them is in force."""
    after = after_of(_QUESTION, cursor, int)
    read = await read_book(asking.connection)
    response.headers.update(etag(read.version))
    current = read.book.authority(asking.now)
    said = [(-number, word) for number, word in enumerate(read.authorities)]
    rows, following = page_after(said[::-1], limit, _QUESTION, lambda one: (one[0],), after)
    told = [_told(word.event, word) for _, word in rows if isinstance(word.event, AuthorityDefined)]
    return Authority(in_force=None if current is None else current.version, items=told, next_cursor=following)


@router.post("/authority", status_code=201, summary="Say who may concede what from now on",
             operation_id="define_authority", dependencies=[MAY_DEFINE], **_MADE)  # fmt: skip
async def new_authority(
    body: Annotated[DefineAuthority, Body(openapi_examples={"example": {"value": _AUTHORITY}})],
    command: Commanding,
) -> Response:
    """The matrix is one piece: a new version replaces the former one whole."""
    return await command.run(body, lambda work: define_authority(work, body), status=201)


def _told(said: AuthorityDefined, word: Written) -> AuthorityVersion:
    same = {"version", "standard_payment_days", "longest_waiver_days", "effective_from"}
    return AuthorityVersion(
        **said.model_dump(include=same), grants=said.grants, defined_by=word.actor, defined_at=word.recorded_at
    )
