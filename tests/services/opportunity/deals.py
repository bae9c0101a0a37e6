"""Small processes, opportunities and commands, for the tests of the opportunity service."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.opportunity.domain.assessment.model import AssessmentModel
from services.opportunity.domain.opportunity import outcome, progress
from services.opportunity.domain.opportunity.decide import Circumstances, decide
from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from services.opportunity.domain.process import DEFAULT_PROCESS, SalesProcess
from shared.contracts.event import Event
from shared.contracts.opportunity import (
    BuyingStage,
    Evidence,
    OpportunityOpened,
    ProcessDefined,
    Requirement,
    SellingStage,
)
from shared.kit.money import Money
from shared.testing.given import START, Fact, Result, given, history

OWNER, OTHER = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
TEAM, ACCOUNT, PRODUCT = (f"00000000-0000-4000-8000-0000000000{n}" for n in ("1a", "1b", "1c"))
SEEN = Evidence(note="seen", by="fang", at=START)
LATER = START + timedelta(days=30)


class Deals:
    """`OPPORTUNITY` without the store."""

    category, initial, evolve = "opportunity", INITIAL, staticmethod(evolve)


def _parts(*codes: str) -> tuple[Requirement, ...]:
    return tuple(Requirement(code=code, names={"en": code}) for code in codes)


def _stage(number: int, probability: int, milestones: Sequence[str], criteria: Sequence[str]) -> SellingStage:
    return SellingStage(
        number=number,
        code=f"stage_{number}",
        names={"en": f"Stage {number}"},
        probability=probability,
        milestones=_parts(*milestones),
        criteria=_parts(*criteria),
    )


SHORT = ProcessDefined(
    key="short",
    version=1,
    names={"en": "Short"},
    selling=(
        _stage(1, 20, ["called", "priced"], ["meeting"]),
        _stage(2, 60, ["visited"], ["shortlisted", "preferred"]),
        _stage(3, 100, [], ["terms", "signed"]),
    ),
    buying=(
        BuyingStage(number=1, code="need", names={"en": "Need"}, funnel_state="searching"),
        BuyingStage(number=2, code="project", names={"en": "Project"}, funnel_state="in_funnel"),
        BuyingStage(number=3, code="contract", names={"en": "Contract"}, funnel_state="best"),
    ),
)
DEFAULT: SalesProcess = ProcessDefined(key="default", version=1, **DEFAULT_PROCESS.model_dump(exclude={"occurred_at"}))
OPENED = OpportunityOpened(name="Line 3", process="short", process_version=1)


def reach(milestone: str, stage: int | None = None) -> progress.ReachMilestone:
    return progress.ReachMilestone(milestone=milestone, stage=stage, evidence=SEEN)


def commit(criterion: str, stage: int | None = None) -> progress.GiveCommitment:
    return progress.GiveCommitment(criterion=criterion, stage=stage, evidence=SEEN)


def buying(stage: int) -> progress.ObserveBuyingStage:
    return progress.ObserveBuyingStage(stage=stage, evidence=SEEN)


def win(amount: Money | None = None) -> outcome.Win:
    return outcome.Win(amount=amount, evidence=SEEN)


FIRST_STAGE = (reach("called"), reach("priced"), commit("meeting"))
SECOND_STAGE = (reach("visited"), commit("shortlisted"), commit("preferred"))
THIRD_STAGE = (commit("terms"), commit("signed"))


def circumstances(
    now: datetime = LATER, process: SalesProcess = SHORT, model: AssessmentModel | None = None
) -> Circumstances:
    return Circumstances(process, now, "tester", max(now, LATER), model=model)


def story(*commands: Any, opened: Event = OPENED, process: SalesProcess = SHORT) -> list[Fact]:
    """The facts of an opportunity on which these commands were decided, one an hour."""
    facts: list[Fact] = [opened]
    for command in commands:
        state = given(Deals(), facts).state
        moment = command.occurred_at or START + timedelta(hours=len(facts))
        facts += [(event, moment) for event in decide(state, command, circumstances(moment, process))]
    return facts


def state_after(*commands: Any) -> OpportunityState:
    return given(Deals(), story(*commands)).state


def on(*commands: Any, process: SalesProcess = SHORT, opened: Event = OPENED) -> Callable[[Any], Result]:
    """`on(*before)(command)`: what is decided about an opportunity after these commands."""
    facts = story(*commands, opened=opened, process=process)

    def decided(command: Any) -> Result:
        moment = command.occurred_at or LATER
        return given(Deals(), facts).when(lambda state: decide(state, command, circumstances(moment, process)))

    return decided


__all__ = ["history"]
