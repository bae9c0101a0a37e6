"""The limits of what is normal, as versioned data (R2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from services.opportunity.domain.commands import Command
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import AnomalyLimitsDefined, StageLimit
from shared.contracts.opportunity.limits import NormalLimits
from shared.contracts.refusal import Reason, RefusedError
from shared.kit.money import Money

AnomalyLimits = AnomalyLimitsDefined
DEFAULT_LIMITS_KEY: Final = "default"
Stages = Mapping[str, frozenset[str]]
"""Key of a process → the codes of the selling stages that any of its versions has."""


class DefineAnomalyLimits(NormalLimits, Command):
    """A new version of the limits, complete."""


@dataclass(frozen=True, slots=True)
class LimitsState:
    """All versions of the limits, in order."""

    versions: tuple[AnomalyLimits, ...] = ()


def evolve_limits(state: LimitsState, e: Recorded[Any]) -> LimitsState:
    if isinstance(e.event, AnomalyLimitsDefined):
        return replace(state, versions=(*state.versions, e.event))
    return state


def decide_define_limits(state: LimitsState, command: DefineAnomalyLimits, key: str, stages: Stages) -> Sequence[Event]:
    """Refuses (kind input) with every fault at once; nothing to do when the latest version says the same. `stages`: of the
    processes that the command names; one that is missing there does not exist."""
    if faults := [*_bad_stages(command, stages), *_bad_amounts(command)]:
        raise RefusedError(tuple(faults), "input")
    version = len(state.versions) + 1
    defined = AnomalyLimitsDefined(key=key, version=version, **command.model_dump(exclude={"occurred_at"}))
    if state.versions and state.versions[-1].model_copy(update={"version": version}) == defined:
        return []
    return [defined]


def days_in_stage(limits: AnomalyLimits, process: str, stage: str) -> int | None:
    """How many days an opportunity may stand in the stage; None: as long as it likes."""
    for limit in limits.stages:
        if (limit.process, limit.stage) == (process, stage):
            return limit.days
    return limits.other_stages_days


def _bad_stages(command: DefineAnomalyLimits, stages: Stages) -> Sequence[Reason]:
    faults: list[Reason] = []
    named = [(limit.process, limit.stage) for limit in command.stages]
    for index, (process, stage) in enumerate(named):
        field = f"stages.{index}"
        if process not in stages:
            said = f"there is no sales process {process!r}"
            faults.append(Reason("unknown_process", said, f"{field}.process", "see /processes"))
        elif stage not in stages[process]:
            said, expected = (
                f"the process {process!r} has no selling stage {stage!r}",
                ", ".join(sorted(stages[process])),
            )
            faults.append(Reason("unknown_stage", said, f"{field}.stage", expected))
        elif (process, stage) in named[:index]:
            faults.append(Reason("duplicate_code", f"the stage {stage!r} of {process!r} is there twice", field))
    return faults


def _bad_amounts(command: DefineAnomalyLimits) -> Sequence[Reason]:
    faults: list[Reason] = []
    currencies = [amount.currency for amount in command.big]
    for index, amount in enumerate(command.big):
        if amount.minor <= 0:
            faults.append(Reason("negative_amount", f"{amount} is not big", f"big.{index}", "more than 0"))
        if amount.currency in currencies[:index]:
            faults.append(Reason("duplicate_currency", f"{amount.currency} is there twice", f"big.{index}", "once"))
    return faults


def _days(**stages: int) -> tuple[StageLimit, ...]:
    return tuple(StageLimit(process="default", stage=stage, days=days) for stage, days in stages.items())


DEFAULT_LIMITS = DefineAnomalyLimits(
    stages=_days(
        prospecting=30, discovery=30, initial_proposal=21, demonstration=30, formal_proposal=45, evaluation=45,
        negotiation=30, signing=21,
    ),
    other_stages_days=60,
    pushed_out=3,
    big=(Money(minor=1_000_000_00, currency="CNY"), Money(minor=150_000_00, currency="USD")),
    early_below=30,
    near_close_days=30,
    pile_up_count=8,
    pile_up_share=60,
    nothing_new_days=45,
)  # fmt: skip
