"""How deals are judged: defining the assessment model and the limits of what is normal, and the latest word on both."""

from services.opportunity.domain.anomalies.limits import DefineAnomalyLimits, decide_define_limits
from services.opportunity.domain.assessment.model import (
    DEFAULT_MODEL_KEY,
    AssessmentModel,
    DefineAssessmentModel,
    decide_define_model,
)
from services.opportunity.entities import ANOMALY_LIMITS, ASSESSMENT_MODEL, PROCESS
from shared.eventstore.types import JsonObject
from shared.eventstore.work import Work


async def latest_model(work: Work) -> AssessmentModel | None:
    versions = (await work.state(ASSESSMENT_MODEL, DEFAULT_MODEL_KEY)).state.versions
    return versions[-1] if versions else None


async def define_model(work: Work, key: str, command: DefineAssessmentModel) -> JsonObject:
    loaded = await work.state(ASSESSMENT_MODEL, key)
    work.primary = ASSESSMENT_MODEL.stream_id(key)
    work.append(
        ASSESSMENT_MODEL, key, *decide_define_model(loaded.state, command, key), occurred_at=command.occurred_at
    )
    return {"key": key, "version_number": len((await work.state(ASSESSMENT_MODEL, key)).state.versions)}


async def define_limits(work: Work, key: str, command: DefineAnomalyLimits) -> JsonObject:
    """Refuses (kind input) limits on stages that no process has."""
    loaded = await work.state(ANOMALY_LIMITS, key)
    work.primary = ANOMALY_LIMITS.stream_id(key)
    stages: dict[str, frozenset[str]] = {}
    for process in sorted({limit.process for limit in command.stages}):
        versions = (await work.state(PROCESS, process)).state.versions
        if versions:
            stages[process] = frozenset(stage.code for version in versions for stage in version.selling)
    events = decide_define_limits(loaded.state, command, key, stages)
    work.append(ANOMALY_LIMITS, key, *events, occurred_at=command.occurred_at)
    return {"key": key, "version_number": len((await work.state(ANOMALY_LIMITS, key)).state.versions)}
