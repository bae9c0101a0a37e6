"""Targets (R2): what is to be won, by whom, within which period; the latest effective word counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from pydantic import Field

from services.opportunity.domain.commands import Command
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import EntityId, HolderKind, TargetSet, Text
from shared.contracts.opportunity.forecast import PeriodLabel
from shared.contracts.refusal import refuse
from shared.kit.calendar import BusinessCalendar, Period
from shared.kit.money import Money

NEVER = datetime(1, 1, 1, tzinfo=UTC)
MAY_SET_LATE = frozenset({"executive", "operations"})


class SetTarget(Command):
    """Effective from `occurred_at` on, default now. The target of a team is that of all teams below it too. An amount of 0: nothing
    is asked any more."""

    holder_kind: HolderKind
    holder_id: EntityId | None = Field(default=None, description="The person or team; none for the company.")
    period: PeriodLabel
    amount: Money
    note: Text | None = None

    @property
    def stream(self) -> str:
        """The id of its stream."""
        return "-".join(part for part in (self.holder_kind, self.holder_id, self.period) if part)


@dataclass(frozen=True, slots=True)
class Targets:
    """Of one holder and period: by currency the latest effective amount, and from when on."""

    latest: Mapping[str, tuple[datetime, int]] = field(default_factory=lambda: MappingProxyType({}))


def evolve_targets(state: Targets, e: Recorded[Any]) -> Targets:
    """A word for an earlier time changes nothing of what counts now."""
    if not isinstance(e.event, TargetSet):
        return state
    amount = e.event.amount
    if e.occurred_at < state.latest.get(amount.currency, (NEVER, 0))[0]:
        return state
    return Targets(MappingProxyType({**state.latest, amount.currency: (e.occurred_at, amount.minor)}))


def decide_target(state: Targets, command: SetTarget, calendar: BusinessCalendar, at: datetime) -> Sequence[Event]:
    """Nothing when that is the target already. Refuses (kind input) what is no period, no holder, or below nothing."""
    period = period_asked(command.period, calendar)
    if (command.holder_kind == "company") != (command.holder_id is None):
        told = "the company has no id" if command.holder_id else f"which {command.holder_kind} is not said"
        expected = "no holder_id" if command.holder_id else f"the id of a {command.holder_kind}"
        raise refuse("bad_holder", told, field="holder_id", expected=expected, kind="input")
    if command.amount.minor < 0:
        raise refuse(
            "negative_amount", "a target below nothing", field="amount.minor", expected="0 or more", kind="input"
        )
    since, minor = state.latest.get(command.amount.currency, (NEVER, 0))
    if minor == command.amount.minor and at >= since:
        return []
    said = command.model_dump(exclude={"occurred_at", "amount"})
    return [TargetSet(**said, amount=command.amount, first_day=period.first_day, last_day=period.last_day)]


def check_not_over(command: SetTarget, calendar: BusinessCalendar, now: datetime, roles: frozenset[str]) -> None:
    """Refuses (kind forbidden) a period that is over by `now`, whatever moment the word is to be effective from: what came of it is
    known, and a target said then, backdated or not, is made to fit. Only those who keep the records bring one in late."""
    period = period_asked(command.period, calendar)
    if period.end <= now and not roles & MAY_SET_LATE:
        raise refuse(
            "period_over",
            f"{period.label} ended on {period.last_day}",
            field="period",
            expected=f"a period that is not over; one of the roles {', '.join(sorted(MAY_SET_LATE))} sets a late target",
            kind="forbidden",
        )


def period_asked(label: str, calendar: BusinessCalendar) -> Period:
    """The month, quarter or fiscal year of this label. Refuses (kind input) any other."""
    try:
        return calendar.asked(label)
    except ValueError as error:
        raise refuse(
            "bad_period", str(error), field="period", expected="such as 2026-10, 2026-Q4 or FY2026", kind="input"
        ) from None
