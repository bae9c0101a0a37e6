"""Waivers told in words, in the caller's language."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy import RowMapping

from services.opportunity import gate_labels, labels
from services.opportunity.api.asking import Asking
from services.opportunity.api.names import Named, names_of
from services.opportunity.api.rows import Coded, coded, coded_or_none


class WaiverItem(BaseModel):
    """`expires_at`: until when it lets pass, or would; afterwards its status is `expired`. People by their logins. Name, owner and
    outcome of the opportunity are null for whoever asked and does not see the opportunity any more."""

    id: str
    version: int
    status: Coded
    gate: str
    gate_version: int
    opportunity: Named
    owner: Named | None
    outcome: Coded | None
    requested_by: str
    requested_at: datetime
    reason: str
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    note: str | None


async def waivers_told(rows: Sequence[RowMapping], asking: Asking) -> list[WaiverItem]:
    names = await names_of(asking.connection, asking.language, {"owner": [row["owner_id"] for row in rows]})
    same = ("gate", "gate_version", "requested_by", "requested_at", "reason", "expires_at", "version")
    answer = ("decided_by", "decided_at", "note")
    return [
        WaiverItem(
            **{name: row[name] for name in (*same, *answer)},
            id=row["waiver_id"],
            status=coded(gate_labels.WAIVERS, row["status"], asking.language),
            opportunity=Named(id=row["opportunity_id"], name=row["opportunity_name"]),
            owner=names.one("owner", row["owner_id"]),
            outcome=coded_or_none(labels.OUTCOMES, row["outcome"], asking.language),
        )
        for row in rows
    ]
