"""What can be done with targets and submissions: used alike by the API and the demonstration.

Each function decides within a `Work`; what it refuses is a RefusedError.
"""

from services.opportunity.domain.forecast.submission import Holder, Snapshot, SubmitForecast, decide_submit
from services.opportunity.domain.forecast.targets import SetTarget, decide_target
from services.opportunity.entities import FORECAST, TARGET
from shared.eventstore.types import JsonObject
from shared.eventstore.work import Work
from shared.kit.calendar import BusinessCalendar, Period
from shared.kit.ids import new_id


async def set_target(work: Work, command: SetTarget, calendar: BusinessCalendar) -> JsonObject:
    state = (await work.state(TARGET, command.stream)).state
    at = command.occurred_at or work.context.now
    work.append(TARGET, command.stream, *decide_target(state, command, calendar, at), occurred_at=command.occurred_at)
    return {"id": command.stream, "created": bool(work.pending)}


async def submit_forecast(
    work: Work,
    command: SubmitForecast,
    holder: Holder,
    period: Period,
    snapshot: Snapshot,
    submission_id: str | None = None,
) -> JsonObject:
    """Default: under a new id. `snapshot`: as the read models show it; `earlier`: how many it supersedes."""
    stream, submission_id = holder.stream(period.label), submission_id or str(new_id())
    made = (await work.state(FORECAST, stream)).state.made
    events = decide_submit(command, holder, period, snapshot, submission_id)
    work.append(FORECAST, stream, *events, occurred_at=command.occurred_at)
    return {"id": submission_id, "created": True, "earlier": made}
