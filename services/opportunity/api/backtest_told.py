"""Back-tests told in words, in the caller's language."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import RowMapping

from services.opportunity import gate_labels, labels
from services.opportunity.api.gate_words import LackingTold, lacking_told
from services.opportunity.api.rows import Coded, Sum, Totals, coded
from services.opportunity.backtesting.run import Ask
from shared.contracts.opportunity import GateRule, Lacking
from shared.kit.money import Money
from shared.web.language import Language

Status = Literal["running", "done", "failed", "broken_off"]


class Outcome(BaseModel):
    """How those opportunities stand now. `drill`: the acts behind, on the side that fired."""

    outcome: Coded
    totals: Totals
    drill: str | None


class Side(BaseModel):
    acts: int
    opportunities: int
    outcomes: list[Outcome]


class BacktestResult(BaseModel):
    """`looked_at` opportunities. `fired`: the rule would have warned of them or held them up, and how they ended all the same;
    `passed`: they met it, and it had nothing to say."""

    looked_at: int
    fired: Side
    passed: Side
    drill: str


class Backtest(BaseModel):
    """`done` of `total` opportunities. `broken_off`: its process is gone, and `error` says why if that is known."""

    id: str
    status: Status
    gate: str | None
    version: int | None
    rule: GateRule
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
    done: int
    total: int | None
    error: str | None
    result: BacktestResult | None

    @classmethod
    def asked(cls, run_id: str, ask: Ask, by: str, now: datetime) -> "Backtest":
        """Before it has begun."""
        return cls(
            id=run_id, status="running", gate=ask.gate, version=ask.version, rule=ask.rule, requested_by=by,
            requested_at=now, finished_at=None, done=0, total=None, error=None, result=None,
        )  # fmt: skip


class BacktestRow(BaseModel):
    """An act on record that the rule would have fired on."""

    opportunity_id: str
    name: str
    act: Coded
    stage: int | None
    at: datetime
    lacking: list[LackingTold]
    outcome: Coded
    amount: Money | None


def backtest_told(row: RowMapping, language: Language, root: str) -> Backtest:
    ask = Ask.model_validate(row["ask"])
    status: Status = "running"
    if row["ended"] is not None:
        status = row["ended"]
    elif row["silent"]:
        status = "broken_off"
    same = ("id", "requested_by", "requested_at", "finished_at", "done", "total", "error")
    return Backtest(
        **{name: row[name] for name in same},
        status=status,
        gate=ask.gate,
        version=ask.version,
        rule=ask.rule,
        result=None
        if row["result"] is None
        else _result(f"{root}/gates/backtests/{row['id']}/rows", row["result"], language),
    )


def _result(drill: str, result: Mapping[str, Any], language: Language) -> BacktestResult:
    return BacktestResult(
        looked_at=result["looked_at"],
        fired=_side(result["fired"], drill, language),
        passed=_side(result["passed"], None, language),
        drill=drill,
    )


def _side(side: Mapping[str, Any], drill: str | None, language: Language) -> Side:
    outcomes = [
        Outcome(
            outcome=coded(labels.OUTCOMES, outcome, language),
            totals=_totals(sums),
            drill=None if drill is None else f"{drill}?outcome={outcome}",
        )
        for outcome, sums in side["outcomes"].items()
    ]
    return Side(acts=side["acts"], opportunities=side["opportunities"], outcomes=outcomes)


def _totals(sums: Mapping[str, Sequence[int]]) -> Totals:
    told = [Sum(currency=currency, count=count, minor=minor) for currency, (count, minor) in sums.items()]
    return Totals(count=sum(one.count for one in told), sums=[one for one in told if one.currency != "none"])


def act_told(row: Mapping[str, Any], language: Language) -> BacktestRow:
    return BacktestRow(
        opportunity_id=row["opportunity_id"],
        name=row["name"],
        act=coded(gate_labels.ACTS, row["act"], language),
        stage=row["stage"],
        at=row["at"],
        lacking=[lacking_told(Lacking.model_validate(one), language) for one in row["lacking"]],
        outcome=coded(labels.OUTCOMES, row["outcome"], language),
        amount=row["amount"],
    )
