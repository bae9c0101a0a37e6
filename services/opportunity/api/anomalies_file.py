"""What is abnormal as a file: what a row says, a column each."""

from typing import Any

from services.opportunity.api.columns import columns, currency, name, units
from shared.web.export import Column
from shared.web.language import Language


def anomaly_columns(language: Language) -> list[Column[Any]]:
    return columns(
        language,
        anomaly=lambda row: row.code.label,
        cause=lambda row: row.cause,
        since=lambda row: row.since,
        value=lambda row: row.value,
        limit=lambda row: row.limit,
        id=lambda row: row.opportunity.id if row.opportunity else None,
        opportunity=lambda row: name(row.opportunity),
        account=lambda row: name(row.account),
        owner=lambda row: name(row.owner),
        team=lambda row: name(row.team),
        stage=lambda row: row.stage.label if row.stage else None,
        currency=lambda row: currency(row.amount),
        amount=lambda row: units(row.amount),
    )
