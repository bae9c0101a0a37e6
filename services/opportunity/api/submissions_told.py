"""How submitted forecasts are told."""

from collections.abc import Sequence
from datetime import date, datetime

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


class SubmissionDetail(SubmissionItem):
    opportunities: list[SubmittedLine]


async def items_of(rows: Sequence[RowMapping], asking: Asking) -> list[SubmissionItem]:
    kinds = {"person": "owner", "team": "team"}
    ids = {kind: [row["holder_id"] for row in rows if kinds[row["holder_kind"]] == kind] for kind in kinds.values()}
    names = await names_of(asking.connection, asking.language, ids)
    same = ("period", "first_day", "last_day", "standing", "figures", "judged", "lines", "note")
    when = ("submitted_at", "recorded_at", "actor")
    return [
        SubmissionItem(
            **{name: row[name] for name in (*same, *when)},
            id=row["submission_id"],
            holder_kind=coded(forecast_labels.HOLDERS, row["holder_kind"], asking.language),
            holder=names.one(kinds[row["holder_kind"]], row["holder_id"]) or Named(id=row["holder_id"], name=None),
            drill=f"{asking.root}/forecast/submissions/{row['submission_id']}",
        )
        for row in rows
    ]


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
