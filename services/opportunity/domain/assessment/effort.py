"""What is spent on an opportunity: visits and working time (R4)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from services.opportunity.domain.commands import Command
from services.opportunity.domain.opportunity.state import OpportunityState
from shared.contracts.event import Event
from shared.contracts.opportunity import EffortSpent, Text
from shared.contracts.refusal import refuse


class SpendEffort(Command):
    """`occurred_at` says when. Negative: takes back what was said too much, with a note that says why."""

    action: Literal["effort"] = "effort"
    visits: int = Field(default=0, ge=-500, le=500)
    minutes: int = Field(default=0, ge=-100_000, le=100_000, description="Working time of all our people together.")
    note: Text | None = None


def decide_effort(state: OpportunityState, command: SpendEffort, _: datetime) -> Sequence[Event]:
    if not command.visits and not command.minutes:
        raise refuse(
            "nothing_spent", "neither visits nor minutes", field="visits", expected="one of them", kind="input"
        )
    if min(command.visits, command.minutes) < 0 and command.note is None:
        raise refuse(
            "reason_missing",
            "effort is taken back, and nobody says why",
            field="note",
            expected="what was wrong",
            kind="input",
        )
    for field, spent, more in (
        ("visits", state.visits, command.visits),
        ("minutes", state.minutes, command.minutes),
    ):
        if spent + more < 0:
            raise refuse(
                "effort_below_zero",
                f"{-more} {field} cannot be taken back: {spent} are on record",
                field=field,
                expected=f"{-spent} or more",
            )
    return [EffortSpent(visits=command.visits, minutes=command.minutes, note=command.note)]
