"""What is abnormal about one opportunity, and since when: from its history alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal, get_args

from services.opportunity.domain.anomalies.limits import AnomalyLimits, days_in_stage
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.process import SalesProcess, probability, working_stage
from shared.kit.calendar import BusinessCalendar

DealAnomaly = Literal["stalled", "slipping", "out_of_sync", "early_near_close"]
PersonAnomaly = Literal["piled_up", "nothing_new"]
AnomalyCode = DealAnomaly | PersonAnomaly
DEAL_ANOMALIES: Final[tuple[DealAnomaly, ...]] = get_args(DealAnomaly)
PERSON_ANOMALIES: Final[tuple[PersonAnomaly, ...]] = get_args(PersonAnomaly)

ALWAYS = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stretch:
    """How an opportunity was from a moment on, until the next stretch of its history begins."""

    start: datetime
    state: OpportunityState


@dataclass(frozen=True, slots=True)
class Anomaly:
    """`value` exceeds `limit`: days in the stage; times that the close date was put off; stages from selling to buying (negative:
    ahead); days to the close date (negative: it is over)."""

    code: DealAnomaly
    since: datetime
    value: int
    limit: int


def anomalies_of(
    history: Sequence[Stretch], process: SalesProcess, limits: AnomalyLimits, at: datetime, calendar: BusinessCalendar
) -> tuple[Anomaly, ...]:
    """What is abnormal at a moment; `history` in order, nothing after that moment. Only an open opportunity can be abnormal: one
    that is paused rests for a reason on record."""
    found = []
    at = max(at, history[-1].start)  # clocks differ a little, and what is known last is so
    for code in DEAL_ANOMALIES:
        since = _since(code, history, process, limits, calendar)
        if since is not None and since <= at:
            state = history[-1].state
            began = calendar.day_of(state.stage_since)
            value, limit = _measured(code, state, process, limits, calendar.day_of(at), began)
            found.append(Anomaly(code, since, value, limit))
    return tuple(found)


def _since(
    code: DealAnomaly,
    history: Sequence[Stretch],
    process: SalesProcess,
    limits: AnomalyLimits,
    calendar: BusinessCalendar,
) -> datetime | None:
    """From when on it has been so without interruption up to the end of the last stretch; None: it never becomes so there."""
    since: datetime | None = None
    for stretch in history:
        begins = _begins(code, stretch.state, process, limits, calendar)
        if begins is None:
            since = None
        elif since is None or since > stretch.start or begins > stretch.start:
            since = max(begins, stretch.start)
    return since


def _begins(
    code: DealAnomaly, state: OpportunityState, process: SalesProcess, limits: AnomalyLimits, calendar: BusinessCalendar
) -> datetime | None:
    """The moment from which a state is abnormal if it lasts so long; ALWAYS: from its beginning; None: at no time."""
    if state.outcome != "open":
        return None
    match code:
        case "stalled":
            days = _stage_days(state, process, limits)
            return None if days is None else _morning(calendar, calendar.day_of(state.stage_since), days + 1)
        case "slipping":
            return ALWAYS if len(state.pushed_out_at) >= limits.pushed_out else None
        case "out_of_sync":
            return ALWAYS if abs(_gap(state, process)) >= limits.out_of_sync_by else None
    early = probability(process, state.completed_stage, None)[0] < limits.early_below
    if state.close_date is None or not early or not _big(state, limits):
        return None
    return _morning(calendar, state.close_date, -limits.near_close_days)


def _measured(
    code: DealAnomaly, state: OpportunityState, process: SalesProcess, limits: AnomalyLimits, today: date, began: date
) -> tuple[int, int]:
    """The value and its limit, of what is abnormal; `began`: the day on which the stage was reached."""
    match code:
        case "stalled":
            return (today - began).days, _stage_days(state, process, limits) or 0
        case "slipping":
            return len(state.pushed_out_at), limits.pushed_out
        case "out_of_sync":
            return _gap(state, process), limits.out_of_sync_by
    return ((state.close_date or today) - today).days, limits.near_close_days


def _stage_days(state: OpportunityState, process: SalesProcess, limits: AnomalyLimits) -> int | None:
    stage = process.selling[working_stage(state.completed_stage, process) - 1]
    return days_in_stage(limits, process.key, stage.code)


def _gap(state: OpportunityState, process: SalesProcess) -> int:
    return state.buying_stage - working_stage(state.completed_stage, process)


def _big(state: OpportunityState, limits: AnomalyLimits) -> bool:
    amount = state.amount
    return amount is not None and any(
        big.currency == amount.currency and amount.minor >= big.minor for big in limits.big
    )


def _morning(calendar: BusinessCalendar, day: date, days: int) -> datetime:
    return calendar.start_of_day(day + timedelta(days=days))
