"""How deals are judged: every version of the assessment model and of the limits of what is normal, to be joined when queried."""

from typing import Any

from sqlalchemy import Column, DateTime, Integer, SmallInteger, String
from sqlalchemy.dialects.postgresql import JSONB

from shared.contracts.event import Recorded
from shared.contracts.opportunity import CONTRACT, AnomalyLimitsDefined, AssessmentModelDefined
from shared.projections.definition import Projection, Rows

deal_control = Projection("deal_control", sources=[CONTRACT])

# Beside the model, what its priorities ask for: `a_days`, `a_from`, and so on, to be compared within the database.
assessment_model = deal_control.table(
    "assessment_model",
    Column("key", String(60), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("model", JSONB, nullable=False),
    Column("effective_from", DateTime(timezone=True), nullable=False),
    *(
        column
        for letter in ("a", "b", "c")
        for column in (Column(f"{letter}_days", Integer), Column(f"{letter}_from", SmallInteger, nullable=False))
    ),
)

anomaly_limits = deal_control.table(
    "anomaly_limits",
    Column("key", String(60), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("limits", JSONB, nullable=False),
    Column("effective_from", DateTime(timezone=True), nullable=False),
)


@deal_control.on(AssessmentModelDefined)
def model_defined(rows: Rows, e: Recorded[Any]) -> None:
    model: AssessmentModelDefined = e.event
    asks: dict[str, int | None] = {}
    for rule in model.priorities[:-1]:
        letter = rule.priority.lower()
        asks |= {f"{letter}_days": rule.closes_within_days, f"{letter}_from": rule.probability_from}
    version = {"key": model.key, "version": model.version, "effective_from": e.occurred_at}
    rows.put(assessment_model, version | {"model": model.model_dump(mode="json")} | asks)


@deal_control.on(AnomalyLimitsDefined)
def limits_defined(rows: Rows, e: Recorded[Any]) -> None:
    limits: AnomalyLimitsDefined = e.event
    version = {"key": limits.key, "version": limits.version, "effective_from": e.occurred_at}
    rows.put(anomaly_limits, version | {"limits": limits.model_dump(mode="json")})
