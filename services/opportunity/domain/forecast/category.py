"""Which opportunities may be counted on: the category of an opportunity, and what a manager judges beside (R2)."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.opportunity.domain.commands import Command
from services.opportunity.domain.opportunity.state import OpportunityState, late
from services.opportunity.domain.opportunity.terms import checked_amount, checked_date
from shared.contracts.event import Event
from shared.contracts.opportunity import (
    ChosenCategory,
    ForecastCategorised,
    ForecastCategory,
    ForecastJudged,
    FunnelState,
    Text,
)
from shared.contracts.refusal import refuse
from shared.kit.money import Money

MAY_JUDGE = frozenset({"manager", "executive"})
BY_FUNNEL_STATE: Mapping[FunnelState, ChosenCategory] = {
    "searching": "pipeline",
    "in_funnel": "best_case",
    "best": "commit",
}
"""What follows where nobody has said a category. Not data: the three funnel states are fixed, and forecasts as of days before
would change with it. Whoever judges an opportunity otherwise says so of it, which is on record with its time.
"""
COUNTED: tuple[ForecastCategory, ...] = ("pipeline", "best_case", "commit")
"""Of what is open: what low, high and weighted add up."""


class Judgement(BaseModel):
    """What a manager expects instead: each part only where it differs, at least one of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Money | None = None
    close_date: date | None = None
    note: Text | None = None


class Forecast(Command):
    """Either or both. `category` null: as its funnel state has it; `judgement` null: no longer judged. What is left out stays."""

    action: Literal["forecast"] = "forecast"
    category: ForecastCategory | None = Field(default=None, description="`closed` follows from winning it.")
    judgement: Judgement | None = Field(default=None, description="Only of managers and executives.")


def category(state: OpportunityState, funnel_state: str) -> ForecastCategory | None:
    """What was said, else by the funnel state; closed once it is won; None: it ended otherwise."""
    if state.closed:
        return "closed" if state.outcome == "won" else None
    return state.forecast or BY_FUNNEL_STATE[funnel_state]  # type: ignore[index]


def decide_forecast(
    state: OpportunityState, command: Forecast, at: datetime, actor: str, roles: frozenset[str]
) -> Sequence[Event]:
    """Refuses `closed` (input), a judgement by others than managers and executives, and one in another currency than the amount's:
    what cannot be added up beside it."""
    said = command.model_fields_set & {"category", "judgement"}
    if not said:
        raise refuse(
            "nothing_said", "neither category nor judgement", field="category", expected="one of them", kind="input"
        )
    events: list[Event] = []
    if "category" in said:
        events += _categorised(state, command.category, at)
    if "judgement" in said:
        events += _judged(state, command.judgement, at, actor, roles)
    return events


def _categorised(state: OpportunityState, chosen: ForecastCategory | None, at: datetime) -> Sequence[Event]:
    if chosen == "closed":
        raise refuse(
            "closed_by_winning",
            "an opportunity is closed in the forecast when it is won",
            field="category",
            expected="pipeline, best_case, commit, omitted, or null",
            kind="input",
        )
    if chosen == state.forecast and not late(state, "forecast", at):
        return []
    return [ForecastCategorised(category=chosen)]


def _judged(
    state: OpportunityState, said: Judgement | None, at: datetime, actor: str, roles: frozenset[str]
) -> Sequence[Event]:
    if not roles & MAY_JUDGE:
        raise refuse(
            "role_missing",
            "a forecast is judged by managers and executives",
            field="judgement",
            expected=f"one of the roles {', '.join(sorted(MAY_JUDGE))}; anybody who works on it says the category",
            kind="forbidden",
        )
    if said is None:
        return [] if state.judgement is None and not late(state, "judgement", at) else [ForecastJudged(judged_by=actor)]
    if said.amount is None and said.close_date is None and said.note is None:
        raise refuse(
            "nothing_said",
            "an empty judgement",
            field="judgement",
            expected="amount, close_date or note; null takes it back",
            kind="input",
        )
    if said.amount is not None:
        checked_amount(said.amount, "judgement.amount")
        if state.amount is not None and state.amount.currency != said.amount.currency:
            raise refuse(
                "mixed_currencies",
                f"it is judged in {said.amount.currency}, and its amount is in {state.amount.currency}",
                field="judgement.amount.currency",
                expected=state.amount.currency,
                kind="input",
            )
    if said.close_date is not None:
        checked_date(said.close_date, "judgement.close_date")
    judged = ForecastJudged(judged_by=actor, amount=said.amount, close_date=said.close_date, note=said.note)
    return [] if judged == state.judgement and not late(state, "judgement", at) else [judged]
