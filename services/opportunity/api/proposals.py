"""Gates that recurring anomalies propose: ready to be tried on what is on record, and to be defined (R2, R5)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import RowMapping

from services.opportunity import labels
from services.opportunity.api.asking import AskingNow, Selection
from services.opportunity.api.roles import MAY_DEFINE
from services.opportunity.api.rows import Coded, coded
from services.opportunity.domain.anomalies.limits import AnomalyLimits
from services.opportunity.domain.anomalies.opportunity import AnomalyCode
from services.opportunity.domain.gates.proposals import CODES, Cause, Recurring, propose
from services.opportunity.queries.anomalies import anomalies, limits_of
from services.opportunity.queries.gates import read_book
from shared.contracts.opportunity import GateRule
from shared.web.commanding import PROBLEMS
from shared.web.language import label

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


class ProposalList(BaseModel):
    """What recurs most first."""

    items: list[Proposal]


@router.get("/gates/proposals", summary="Gates that recurring anomalies propose", operation_id="gate_proposals",
            responses=PROBLEMS)  # fmt: skip
async def proposals(
    asking: AskingNow,
    at_least: Annotated[
        int, Query(ge=1, le=1_000_000, description="An anomaly recurs when so many opportunities show it.")
    ] = RECURS_FROM,
) -> ProposalList:
    limits = await limits_of(asking.connection)
    if limits is None:
        return ProposalList(items=[])
    rows = await anomalies(asking.connection, await asking.view(Selection()), limits, codes=_CODES)
    book = (await read_book(asking.connection)).book
    items = [
        _told(found, limits, asking, defined=book.in_force(found.key, asking.now) is not None)
        for found in recurring(rows, at_least)
    ]
    return ProposalList(items=items)


def recurring(rows: Iterable[Mapping[str, Any] | RowMapping], at_least: int) -> list[Recurring]:
    counted = Counter(map(_kind, rows))
    found = [
        Recurring(cause, count, process, stage, limit)
        for (cause, process, stage, limit), count in counted.items()
        if count >= at_least
    ]
    return sorted(found, key=lambda one: (-one.count, one.key))


def _kind(row: Mapping[str, Any] | RowMapping) -> tuple[Cause, str | None, int | None, int | None]:
    """What they have in common: an opportunity that stalls does so in a stage of a process, beyond a limit of its own."""
    match row["code"]:
        case "stalled":
            return "stalled", row["process"], row["stage"], row["limit"]
        case "slipping":
            return "slipping", None, None, None
        case "out_of_sync":
            return ("behind" if row["value"] > 0 else "ahead"), None, None, None
    return "early_near_close", None, None, None


def _told(found: Recurring, limits: AnomalyLimits, asking: AskingNow, *, defined: bool) -> Proposal:
    rule = propose(found, limits)
    code = CODES[found.cause]
    asked: dict[str, Any] = {"code": code}
    if found.stage is not None:
        asked |= {"stage": found.stage, "process": found.process}
    return Proposal(
        key=found.key,
        anomaly=coded(labels.ANOMALIES, code, asking.language),
        stage=found.stage,
        process=found.process,
        count=found.count,
        drill=f"{asking.root}/pipeline/anomalies?{urlencode(asked)}",
        label=label(rule.names, asking.language, found.key),
        rule=rule,
        defined=defined,
        define=f"{asking.root}/gates",
        backtest=f"{asking.root}/gates/backtests",
    )
