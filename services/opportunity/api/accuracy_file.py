"""The accuracy of forecasts as a file: a row for each figure and measure, or for each stage and currency."""

from dataclasses import dataclass
from typing import Literal

from fastapi import Response

from services.opportunity import export_labels
from services.opportunity.api.accuracy_figures import Accuracy, AccuracyFigure, Compared, StageFigure, StageMoney
from services.opportunity.api.asking import Asking
from services.opportunity.api.columns import columns, label, name, per_cent
from services.opportunity.domain.forecast.accuracy import MEASURES, Measure
from services.opportunity.labels import word
from shared.web.export import Cell, at_once, export, in_parts, whole_units


@dataclass(frozen=True, slots=True)
class _Measured:
    figure: AccuracyFigure
    measure: Measure
    by: Compared

    def money(self, minor: int) -> Cell:
        return whole_units(minor, self.figure.currency)


@dataclass(frozen=True, slots=True)
class _Stage:
    """`worth` None: none of its lines has an amount."""

    figure: StageFigure
    worth: StageMoney | None

    def money(self, field: str) -> Cell:
        return None if self.worth is None else whole_units(getattr(self.worth, field), self.worth.currency)


async def accuracy_file(form: Literal["csv", "xlsx"], told: Accuracy, asking: Asking) -> Response:
    zone, language = asking.backend.calendar.time_zone, asking.language
    if told.group_by == "stage":
        stages = [_Stage(figure, worth) for figure in told.stages for worth in (*figure.worth, *_nothing(figure))]
        cells = columns(
            language,
            process=lambda row: row.figure.process,
            stage_number=lambda row: row.figure.stage,
            stage=lambda row: row.figure.label,
            count=lambda row: row.figure.lines,
            won=lambda row: row.figure.won,
            expected_share=lambda row: per_cent(row.figure.expected_bp),
            won_share=lambda row: per_cent(row.figure.won_bp),
            currency=lambda row: row.worth.currency if row.worth else None,
            lines=lambda row: row.worth.lines if row.worth else None,
            weighted=lambda row: row.money("weighted_minor"),
            won_amount=lambda row: row.money("won_minor"),
            error=lambda row: row.money("error_minor"),
        )
        return await export(form, "accuracy", cells, in_parts(stages, at_once), zone)
    measured = [
        _Measured(figure, measure, by)
        for figure in told.figures
        for measure in MEASURES
        if (by := getattr(figure, measure)) is not None
    ]
    cells = columns(
        language,
        holder_kind=lambda row: label(row.figure.holder_kind),
        holder=lambda row: name(row.figure.holder),
        days_from=lambda row: row.figure.days_from,
        days_to=lambda row: row.figure.days_to,
        currency=lambda row: row.figure.currency,
        measure=lambda row: word(export_labels.MEASURES, row.measure, language),
        submissions=lambda row: row.by.submissions,
        submitted=lambda row: row.money(row.by.submitted_minor),
        won_amount=lambda row: row.money(row.by.won_minor),
        won_share=lambda row: per_cent(row.by.ratio_bp),
        error=lambda row: row.money(row.by.error_minor),
        absolute_error=lambda row: row.money(row.by.absolute_error_minor),
    )
    return await export(form, "accuracy", cells, in_parts(measured, at_once), zone)


def _nothing(figure: StageFigure) -> tuple[None, ...]:
    return () if figure.worth else (None,)
