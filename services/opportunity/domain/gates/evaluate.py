"""What the gates in force say of an act: it passes, with a warning or on a waiver, or it is refused (R5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from services.opportunity.domain.gates.book import GateBook
from services.opportunity.domain.gates.facts import FACTS, Facts, facts_of
from services.opportunity.domain.gates.rule import judge, named
from services.opportunity.domain.opportunity.state import OpportunityState, evolve
from services.opportunity.domain.process import SalesProcess
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import (
    ConcessionGranted,
    GateDefined,
    GatePassedOnWaiver,
    GateStopped,
    GateWaived,
    GateWarned,
    Lacking,
    OpportunityWon,
    StageCompleted,
    StageEntered,
    StageRegressed,
    StageSkipped,
)
from shared.contracts.opportunity.gates import Act
from shared.contracts.refusal import Reason, RefusedError
from shared.kit.calendar import BusinessCalendar

Verdict = Literal["passes", "warns", "waived", "refused"]
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class ActOn:
    """An act that gates may guard; `stage`: the number of a selling stage, for acts on one."""

    act: Act
    stage: int | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one gate says of one act."""

    gate: GateDefined
    act: ActOn
    verdict: Verdict
    lacking: tuple[Lacking, ...] = ()
    waiver: GateWaived | None = None


@dataclass(frozen=True, slots=True)
class Gates:
    """The rules that bind who acts at the moment `now` of the clock."""

    book: GateBook
    now: datetime
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)


class GateRefusedError(RefusedError):
    """Refused by gates alone: by these. `stopped` is what is to be recorded of it, about `opportunity_id` (None: not known)."""

    def __init__(self, rulings: tuple[Ruling, ...], reasons: tuple[Reason, ...] | None = None) -> None:
        super().__init__(tuple(map(_reason, rulings)) if reasons is None else reasons)
        self.rulings = rulings
        self.stopped = tuple(map(_stopped, rulings))
        self.opportunity_id: str | None = None


def act_of(event: Event) -> ActOn | None:
    match event:
        case StageEntered():
            return ActOn("stage_entered", event.stage)
        case StageCompleted():
            return ActOn("stage_completed", event.stage)
        case StageSkipped():
            return ActOn("stage_skipped", event.stage)
        case OpportunityWon():
            return ActOn("win")
        case ConcessionGranted():
            return ActOn(event.concession.kind)
    return None


def gated(
    state: OpportunityState, events: Sequence[Event], process: SalesProcess, gates: Gates, at: datetime
) -> Sequence[Event]:
    """The events with what the gates say of them; `at`: their business time. Raises GateRefusedError with every objection."""
    rulings = list(rulings_of(state, events, process, gates, at, today=gates.now))
    refused = tuple(one for one in rulings if one.verdict == "refused")
    if refused:
        raise GateRefusedError(refused)
    return [*events, *(fact for one in rulings if (fact := _fact(one)) is not None)]


def rulings_of(
    state: OpportunityState,
    events: Sequence[Event],
    process: SalesProcess,
    gates: Gates,
    at: datetime,
    *,
    today: datetime | None = None,
) -> Iterator[Ruling]:
    """What the gates say of events that one command leads to, each against the state that it meets; nobody is kept from going
    back. Days are counted up to `today`, default the business time `at`: whoever decides counts by the clock, for the caller
    names the business time."""
    if not any(map(act_of, events)) or any(isinstance(event, StageRegressed) for event in events):
        return
    path = [state]
    for event in events:
        path.append(evolve(path[-1], imagined(event, at)))
    for before, event in zip(path, events, strict=False):
        act = act_of(event)
        if act is not None:
            facts = facts_now(before, _after(path[-1], event), process, gates, today or at)
            yield from rulings(act, facts, before, process, gates)


def _after(state: OpportunityState, event: Event) -> OpportunityState:
    """A concession is judged by what it grants itself, whatever was said on a later time."""
    if not isinstance(event, ConcessionGranted):
        return state
    return replace(state, concessions=MappingProxyType({**state.concessions, event.concession.kind: event}))


def rulings(act: ActOn, facts: Facts, state: OpportunityState, process: SalesProcess, gates: Gates) -> Iterator[Ruling]:
    for gate in gates.book.gates(gates.now):
        if guards(gate, act, process):
            yield ruling(gate, act, facts, state, gates.now)


def ruling(gate: GateDefined, act: ActOn, facts: Facts, state: OpportunityState, now: datetime) -> Ruling:
    """What the gate says at the moment `now` of an act that it guards. A waiver is good for a `control` alone."""
    said = judge(gate.rule, facts)
    if said.verdict == "passes":
        return Ruling(gate, act, "passes")
    if gate.rule.mode == "warn":
        return Ruling(gate, act, "warns", said.lacking)
    waiver = state.waivers.get(gate.key)
    if gate.rule.mode == "control" and waiver is not None and waiver.expires_at > now:
        return Ruling(gate, act, "waived", said.lacking, waiver)
    return Ruling(gate, act, "refused", said.lacking)


def guards(gate: GateDefined, act: ActOn, process: SalesProcess) -> bool:
    """Does the gate stand before this act?"""
    names: set[int | str] = set()
    if act.stage is not None and act.stage <= len(process.selling):
        names = {act.stage, process.selling[act.stage - 1].code}
    return any(
        guard.act == act.act and (not guard.stages or bool(names & set(guard.stages))) for guard in gate.rule.guards
    )


def facts_now(
    before: OpportunityState, after: OpportunityState, process: SalesProcess, gates: Gates, at: datetime
) -> Facts:
    authority = gates.book.authority(gates.now)
    standard = None if authority is None else authority.standard_payment_days
    return facts_of(before, after, process, standard_payment_days=standard, at=at, calendar=gates.calendar)


def imagined(event: Event, at: datetime) -> Recorded[Any]:
    """An event as it would be recorded, as far as folding it asks."""
    return Recorded(0, _NOBODY, "opportunity-", 0, event, at, at, "", _NOBODY, None)


def _fact(one: Ruling) -> Event | None:
    if one.verdict == "warns":
        return GateWarned(**_fired(one))
    if one.waiver is not None:
        return GatePassedOnWaiver(waiver_id=one.waiver.waiver_id, approved_by=one.waiver.approved_by, **_fired(one))
    return None


def _stopped(one: Ruling) -> GateStopped:
    return GateStopped(mode="stop" if one.gate.rule.mode == "stop" else "control", **_fired(one))


def _fired(one: Ruling) -> dict[str, Any]:
    return {
        "gate": one.gate.key,
        "gate_version": one.gate.version,
        "act": one.act.act,
        "stage": one.act.stage,
        "lacking": one.lacking,
    }


def _reason(one: Ruling) -> Reason:
    gate, rule = one.gate, one.gate.rule
    what = named(one.act.act) + (f" {one.act.stage}" if one.act.stage else "")
    lacks = "; ".join(said(lack) for lack in one.lacking)
    message = f"{rule.message.get('en', gate.key)} (gate {gate.key}, version {gate.version}, at {what}: {lacks})"
    right = "; ".join(wanted(lack) for lack in one.lacking)
    if rule.mode == "stop":
        return Reason("gate_stop", message, gate.key, f"{right}; nobody passes without it")
    waiver = f'a waiver that another person approves: POST /waivers with "gate": "{gate.key}"'
    return Reason("gate_control", message, gate.key, f"{right}; or {waiver}")


def said(lack: Lacking) -> str:
    """How the fact is, in words."""
    name = FACTS[lack.fact].en if lack.fact in FACTS else lack.fact
    return f"{name} is not on record" if lack.found is None else f"{name} is {lack.found}"


def wanted(lack: Lacking) -> str:
    """How the fact should be, in words."""
    name = FACTS[lack.fact].en if lack.fact in FACTS else lack.fact
    return " ".join(part for part in (name, named(lack.test), lack.wanted) if part)
