"""How submitted forecasts are told."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import RowMapping

from services.opportunity import forecast_labels, labels
from services.opportunity.api.asking import Asking
from services.opportunity.api.names import Named, names_of
from services.opportunity.api.rows import Coded, Stage, coded, coded_or_none, processes_of, stage_of
from shared.contracts.opportunity import ForecastJudgement, ForecastMoney
from shared.kit.money import Money
from shared.web.paging import Page


class SubmissionItem(BaseModel):
    """`standing`: not superseded by a later one of the same holder and period. `figures` by currency and category; `judged` by
    currency: won, judged, and the rest weighted. Told as it stood at `submitted_at`; on record since `recorded_at`."""

    id: str
    holder_kind: Coded
    holder: Named
    period: str
    first_day: date
    last_day: date
    standing: bool
    figures: list[ForecastMoney]
    judged: list[ForecastJudgement]
    lines: int
    note: str | None
    submitted_at: datetime
    recorded_at: datetime
    actor: str
    drill: str


class SubmissionPage(Page[SubmissionItem]):
    """The newest first."""


class SubmittedLine(BaseModel):
    """An opportunity as it was submitted. `beside`: judged to close within the period, and in no figure but `judged`. `name` and
    `outcome_now` as they are now: null where it may not be seen any more."""

    opportunity: Named
    outcome_now: Coded | None
    stage: Stage
    category: Coded
    amount: Money | None
    low: int
    high: int
    close_date: date | None
    judged_amount: Money | None
    judged_close_date: date | None
    beside: bool


class LineOfSubmission(SubmittedLine):
    """With the submission that it is of, and whether it was won within the period; `won_minor` in the currency of the amount, null
    where it was won in another."""

    submission_id: str
    holder_kind: Coded
    holder: Named
    period: str
    submitted_at: datetime
    won: bool
    won_minor: int | None
    drill: str


class LinePage(Page[LineOfSubmission]):
    """Of the newest submission first."""


class SubmissionDetail(SubmissionItem):
    opportunities: list[SubmittedLine]


async def items_of(rows: Sequence[RowMapping], asking: Asking) -> list[SubmissionItem]:
    holders = await holders_of(rows, asking)
    same = ("period", "first_day", "last_day", "standing", "figures", "judged", "lines", "note")
    when = ("submitted_at", "recorded_at", "actor")
    return [
        SubmissionItem(
            **{name: row[name] for name in (*same, *when)},
            id=row["submission_id"],
            **holders(row),
            drill=f"{asking.root}/forecast/submissions/{row['submission_id']}",
        )
        for row in rows
    ]


async def submitted_lines(rows: Sequence[RowMapping], asking: Asking) -> list[LineOfSubmission]:
    holders, told = await holders_of(rows, asking), await lines_told(rows, asking)
    same = ("submission_id", "period", "submitted_at", "won", "won_minor")
    return [
        LineOfSubmission(
            **dict(item),
            **holders(row),
            **{name: row[name] for name in same},
            drill=f"{asking.root}/forecast/submissions/{row['submission_id']}",
        )
        for item, row in zip(told, rows, strict=True)
    ]


async def holders_of(
    rows: Sequence[RowMapping | Mapping[str, Any]], asking: Asking
) -> Callable[[RowMapping | Mapping[str, Any]], dict[str, Any]]:
    """The fields `holder_kind` and `holder` of a row that has them as a code and an id."""
    kinds = {"person": "owner", "team": "team"}
    ids = {kind: [row["holder_id"] for row in rows if kinds.get(row["holder_kind"]) == kind] for kind in kinds.values()}
    names = await names_of(asking.connection, asking.language, ids)

    def told(row: RowMapping | Mapping[str, Any]) -> dict[str, Any]:
        kind, holder_id = row["holder_kind"], row["holder_id"]
        named = None if holder_id is None else names.one(kinds[kind], holder_id) or Named(id=holder_id, name=None)
        return {"holder_kind": coded(forecast_labels.HOLDERS, kind, asking.language), "holder": named}

    return told


async def lines_told(rows: Sequence[RowMapping], asking: Asking) -> list[SubmittedLine]:
    language = asking.language
    processes = await processes_of(asking.connection, {(row["process"], row["process_version"]) for row in rows})
    return [
        SubmittedLine(
            opportunity=Named(id=row["opportunity_id"], name=row["name"]),
            outcome_now=coded_or_none(labels.OUTCOMES, row["outcome"], language),
            stage=stage_of(processes[row["process"], row["process_version"]].selling, row["stage"], language),
            category=coded(forecast_labels.CATEGORIES, row["category"], language),
            amount=_money(row["amount_minor"], row["currency"]),
            judged_amount=_money(row["judged_minor"], row["judged_currency"]),
            **{name: row[name] for name in ("low", "high", "close_date", "judged_close_date", "beside")},
        )
        for row in rows
    ]


def _money(minor: int | None, currency: str | None) -> Money | None:
    return None if minor is None or currency is None else Money(minor=minor, currency=currency)
