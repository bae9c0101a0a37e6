"""Targets as a file: what a row says, a column each."""

from typing import Any

from services.opportunity.api.columns import columns, name, units
from shared.web.export import Column
from shared.web.language import Language


def target_columns(language: Language) -> list[Column[Any]]:
    return columns(
        language,
        holder_kind=lambda row: row.holder_kind.label,
        holder=lambda row: name(row.holder),
        period=lambda row: row.period,
        currency=lambda row: row.amount.currency,
        target=lambda row: units(row.amount),
        note=lambda row: row.note,
        effective_from=lambda row: row.effective_from,
        recorded_at=lambda row: row.recorded_at,
        actor=lambda row: row.actor,
    )
