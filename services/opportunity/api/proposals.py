"""Gates that recurring anomalies propose: ready to be tried on what is on record, and to be defined (R2, R5)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import RowMapping

from services.opportunity import labels
from services.opportunity.api.asking import AskingNow, Selection
from services.opportunity.api.cursors import after_of, page_after
from services.opportunity.api.roles import MAY_DEFINE
from services.opportunity.api.rows import Coded, Processes, coded, processes_of
from services.opportunity.domain.anomalies.limits import AnomalyLimits
from services.opportunity.domain.anomalies.opportunity import AnomalyCode
from services.opportunity.domain.gates.proposals import CODES, SYNCHRONIES, Recurring, propose
from services.opportunity.queries.anomalies import anomalies, limits_of
from services.opportunity.queries.gates import read_book
from shared.contracts.opportunity import GateRule
from shared.web.commanding import PROBLEMS
from shared.web.language import label
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page

router = APIRouter(tags=["gates"], dependencies=[MAY_DEFINE])
RECURS_FROM = 3
_CODES: tuple[AnomalyCode, ...] = ("stalled", "slipping", "out_of_sync", "early_near_close")


class Proposal(BaseModel):
    """`count` open opportunities show the anomaly now (`drill`). `rule` under `key`: send both to `define`, or the rule to
    `backtest` first. `defined`: a gate of this key is in force already, and it recurs all the same."""

    key: str
    anomaly: Coded
    stage: int | None
    process: str | None
    count: int
    drill: str
    label: str
    rule: GateRule
    defined: bool
    define: str
    backtest: str


class ProposalPage(Page[Proposal]):
    """What recurs most first."""


@router.get("/gates/proposals", summary="Gates that recurring anomalies propose", operation_id="gate_proposals",
            responses=PROBLEMS)  # fmt: skip
async def proposals(
    asking: AskingNow,
    at_least: Annotated[
        int, Query(ge=1, le=1_000_000, description="An anomaly recurs when so many opportunities show it.")
    ] = RECURS_FROM,
    cursor: CursorText = None,
    limit: Limit = DEFAULT_LIMIT,
) -> ProposalPage:
    """A rule for every kind of anomaly that comes again and again, to be judged before it is defined."""
    question = ["proposals", at_least]
    after = after_of(question, cursor, int, str)
    limits = await limits_of(asking.connection)
    if limits is None:
        return ProposalPage(items=[])
    rows = await anomalies(asking.connection, await asking.view(Selection()), limits, codes=_CODES)
    used = {(row["process"], row["process_version"]) for row in rows}
    stages = await processes_of(asking.connection, used)
    book = (await read_book(asking.connection)).book
    found = recurring(rows, stages, at_least)
    page, following = page_after(found, limit, question, _order, after)
    items = [_told(one, limits, asking, defined=book.in_force(one.key, asking.now) is not None) for one in page]
    return ProposalPage(items=items, next_cursor=following)


def recurring(rows: Iterable[Mapping[str, Any] | RowMapping], processes: Processes, at_least: int) -> list[Recurring]:
    counted = Counter(_kind(row, processes) for row in rows)
    found = [replace(kind, count=count) for kind, count in counted.items() if count >= at_least]
    return sorted(found, key=_order)


def _order(one: Recurring) -> tuple[int, str]:
    return -one.count, one.key


def _kind(row: Mapping[str, Any] | RowMapping, processes: Processes) -> Recurring:
    """What they have in common: an opportunity that stalls does so in a stage of a process, beyond a limit of its own. The same
    stage may stand elsewhere in another version of the process."""
    match row["code"]:
        case "stalled":
            code = processes[row["process"], row["process_version"]].selling[row["stage"] - 1].code
            return Recurring("stalled", 1, row["process"], row["stage"], row["limit"], code)
        case "slipping":
            return Recurring("slipping", 1)
        case "out_of_sync":
            return Recurring("behind" if row["value"] > 0 else "ahead", 1)
    return Recurring("early_near_close", 1)


def _told(found: Recurring, limits: AnomalyLimits, asking: AskingNow, *, defined: bool) -> Proposal:
    rule = propose(found, limits)
    code = CODES[found.cause]
    asked: dict[str, Any] = {"code": code, "synchrony": SYNCHRONIES.get(found.cause, ())}
    if found.stage is not None:
        asked |= {"stage": found.stage, "process": found.process}
    return Proposal(
        key=found.key,
        anomaly=coded(labels.ANOMALIES, code, asking.language),
        stage=found.stage,
        process=found.process,
        count=found.count,
        drill=f"{asking.root}/pipeline/anomalies?{urlencode(asked, doseq=True)}",
        label=label(rule.names, asking.language, found.key),
        rule=rule,
        defined=defined,
        define=f"{asking.root}/gates",
        backtest=f"{asking.root}/gates/backtests",
    )
