"""What was said of a gate: its versions, and when it was retired (R5)."""

from fastapi import APIRouter, Response

from services.opportunity.api.asking import AskingNow
from services.opportunity.api.cursors import after_of, page_after
from services.opportunity.api.gate_words import GateVersion, Retirement, retirement_told
from services.opportunity.api.gates import GateKey, book_with, version_of
from services.opportunity.api.roles import MAY_READ
from shared.contracts.opportunity import GateRetired
from shared.web.commanding import PROBLEMS
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page

router = APIRouter(tags=["gates"], dependencies=[MAY_READ])


class VersionPage(Page[GateVersion]):
    """Newest first."""


class RetirementPage(Page[Retirement]):
    """Newest first."""


@router.get("/gates/{key}/versions", summary="The versions of a gate", operation_id="gate_versions",
            responses=PROBLEMS)  # fmt: skip
async def versions(
    key: GateKey, asking: AskingNow, response: Response, cursor: CursorText = None, limit: Limit = DEFAULT_LIMIT
) -> VersionPage:
    """The newest first, each with the time for which it is meant."""
    question = ["gate versions", key]
    after = after_of(question, cursor, int)
    read = await book_with(key, asking, response)
    newest = read.book.versions(key)[::-1]
    rows, following = page_after(newest, limit, question, lambda gate: (-gate.version,), after)
    return VersionPage(items=[version_of(read, one, asking) for one in rows], next_cursor=following)


@router.get("/gates/{key}/retirements", summary="When a gate was retired", operation_id="gate_retirements",
            responses=PROBLEMS)  # fmt: skip
async def retirements(
    key: GateKey, asking: AskingNow, response: Response, cursor: CursorText = None, limit: Limit = DEFAULT_LIMIT
) -> RetirementPage:
    """The newest first: by whom, and why."""
    question = ["gate retirements", key]
    after = after_of(question, cursor, int)
    read = await book_with(key, asking, response)
    said = [(-number, word) for number, word in enumerate(read.gates[key]) if isinstance(word.event, GateRetired)]
    rows, following = page_after(said[::-1], limit, question, lambda one: (one[0],), after)
    items = [
        retirement_told(word.event, word.actor, word.recorded_at)
        for _, word in rows
        if isinstance(word.event, GateRetired)
    ]
    return RetirementPage(items=items, next_cursor=following)
