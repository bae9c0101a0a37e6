"""Submitted forecasts and their lines as files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import Response
from sqlalchemy import RowMapping

from services.opportunity import export_labels, forecast_labels
from services.opportunity.api.asking import Asking
from services.opportunity.api.columns import columns, currency, file_of, label, name, units
from services.opportunity.api.submissions_told import SubmissionItem, items_of, submitted_lines
from services.opportunity.labels import word
from shared.contracts.opportunity import ForecastJudgement, ForecastMoney
from shared.web.export import Cell, whole_units

Form = Literal["csv", "xlsx"]


@dataclass(frozen=True, slots=True)
class _Row:
    """`of` None: nothing was expected."""

    item: SubmissionItem
    of: ForecastMoney | ForecastJudgement | None

    def money(self, field: str) -> Cell:
        minor = getattr(self.of, field, None)
        return None if self.of is None or minor is None else whole_units(minor, self.of.currency)


async def submissions_file(form: Form, rows: Sequence[RowMapping], asking: Asking) -> Response:
    """A row for each currency and category, and for what was judged in a currency."""
    language = asking.language

    async def made(some: Sequence[RowMapping]) -> list[_Row]:
        told = await items_of(some, asking)
        return [_Row(item, of) for item in told for of in (*item.figures, *item.judged, *_nothing(item))]

    def category(row: _Row) -> Cell:
        match row.of:
            case ForecastMoney():
                return word(forecast_labels.CATEGORIES, row.of.category, language)
            case ForecastJudgement():
                return word(export_labels.MEASURES, "judged", language)
        return None

    cells = columns(
        language,
        submission=lambda row: row.item.id,
        submitted_at=lambda row: row.item.submitted_at,
        holder_kind=lambda row: label(row.item.holder_kind),
        holder=lambda row: name(row.item.holder),
        period=lambda row: row.item.period,
        standing=lambda row: int(row.item.standing),
        forecast=category,
        currency=lambda row: row.of.currency if row.of else None,
        count=lambda row: row.of.count if row.of else 0,
        amount=lambda row: row.money("minor"),
        low=lambda row: row.money("low_minor"),
        high=lambda row: row.money("high_minor"),
        weighted=lambda row: row.money("weighted_minor"),
        note=lambda row: row.item.note,
        recorded_at=lambda row: row.item.recorded_at,
        actor=lambda row: row.item.actor,
    )
    return await file_of(form, "submissions", cells, rows, made, asking.backend.calendar.time_zone)


def _nothing(item: SubmissionItem) -> tuple[None, ...]:
    return () if item.figures or item.judged else (None,)


async def lines_file(form: Form, rows: Sequence[RowMapping], asking: Asking) -> Response:
    cells = columns(
        asking.language,
        submission=lambda row: row.submission_id,
        submitted_at=lambda row: row.submitted_at,
        holder=lambda row: name(row.holder),
        period=lambda row: row.period,
        id=lambda row: row.opportunity.id,
        opportunity=lambda row: row.opportunity.name,
        stage_number=lambda row: row.stage.number,
        stage=lambda row: row.stage.label,
        forecast=lambda row: row.category.label,
        probability_low=lambda row: row.low,
        probability_high=lambda row: row.high,
        close_date=lambda row: row.close_date,
        currency=lambda row: currency(row.amount),
        amount=lambda row: units(row.amount),
        won=lambda row: int(row.won),
        won_amount=lambda row: None if row.won_minor is None else whole_units(row.won_minor, row.amount.currency),
        outcome_now=lambda row: label(row.outcome_now),
    )
    return await file_of(
        form, "lines", cells, rows, lambda some: submitted_lines(some, asking), asking.backend.calendar.time_zone
    )
