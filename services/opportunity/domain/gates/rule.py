"""A rule by itself: what it says of facts, whether it can be meant, and whether its proofs hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from services.opportunity.domain.gates.conditions import expected_value, faults, fits, holds
from services.opportunity.domain.gates.facts import FACTS, Facts, Value
from shared.contracts.opportunity import GateRule, Lacking, ProofCase
from shared.contracts.opportunity.conditions import Wanted
from shared.contracts.opportunity.gates import Expect
from shared.contracts.refusal import Reason

STAGE_ACTS = frozenset({"stage_entered", "stage_completed", "stage_skipped"})


@dataclass(frozen=True, slots=True)
class Said:
    """What a rule says of an act: `passes`, or `fires` for what is `lacking`."""

    verdict: Expect
    lacking: tuple[Lacking, ...] = ()


def judge(rule: GateRule, facts: Facts) -> Said:
    """Never raises. A rule that may not apply, for want of a fact, does not; one that applies wants what it requires shown."""
    if rule.applies_when is not None and holds(rule.applies_when, facts)[0] is not True:
        return Said("passes")
    truth, lacking = holds(rule.requires, facts)
    return Said("passes") if truth is True else Said("fires", lacking)


def prove(rule: GateRule) -> tuple[ProofCase, ...]:
    """The proofs that do not hold."""
    return tuple(case for case in rule.proofs if judge(rule, values(case.facts)).verdict != case.expect)


def values(facts: Mapping[str, Wanted]) -> Facts:
    """Facts as a proof says them: several codes are a list there, also where it is only one."""
    return {name: _value(name, value) for name, value in facts.items()}


def _value(name: str, value: Wanted) -> Value:
    fact = FACTS.get(name)
    if isinstance(value, tuple):
        return frozenset(value)
    return frozenset([value]) if isinstance(value, str) and fact is not None and fact.kind == "codes" else value


def faults_of(rule: GateRule) -> Iterator[Reason]:
    """Everything that is wrong with a rule that somebody defines."""
    for field in ("names", "message"):
        if not getattr(rule, field).get("en", "").strip():
            yield Reason("missing_name", f"{field} says nothing in English", f"rule.{field}", f"{field}.en")
    for index, guard in enumerate(rule.guards):
        if guard.stages and guard.act not in STAGE_ACTS:
            fault = f"{named(guard.act)} is no act on a stage"
            yield Reason("bad_guard", fault, f"rule.guards.{index}.stages", "no stages")
    if rule.level == 1 and rule.mode != "stop":
        fault = f"at level 1 the wrong act is impossible, but the mode is {rule.mode}"
        yield Reason("bad_level", fault, "rule.level", "mode stop, or level 2 or 3")
    wrong = [*faults(rule.requires, "rule.requires")]
    if rule.applies_when is not None:
        wrong += faults(rule.applies_when, "rule.applies_when")
    wrong += [*_bad_proofs(rule), *_unproved(rule)]
    yield from wrong
    if not wrong:
        yield from _failed(rule)


def _bad_proofs(rule: GateRule) -> Iterator[Reason]:
    for index, case in enumerate(rule.proofs):
        for name, value in values(case.facts).items():
            where, fact = f"rule.proofs.{index}.facts.{name}", FACTS.get(name)
            if fact is None:
                yield Reason("unknown_fact", f"there is no fact {name!r}", where, ", ".join(sorted(FACTS)))
            elif not fits(fact.kind, value):
                fault = f"{name} ({fact.kind}) cannot be {case.facts[name]!r}"
                yield Reason("bad_value", fault, where, expected_value(fact.kind, "is"))


def _unproved(rule: GateRule) -> Iterator[Reason]:
    """A rule that refuses must be seen to do so, and not to refuse everything."""
    if rule.mode == "warn":
        return
    for verdict in get_args(Expect):
        if all(case.expect != verdict for case in rule.proofs):
            fault = f"the mode is {rule.mode}, and no proof shows facts on which it {verdict}"
            yield Reason("proof_missing", fault, "rule.proofs", f'a case with "expect": "{verdict}"')


def _failed(rule: GateRule) -> Iterator[Reason]:
    failing = prove(rule)
    for index, case in enumerate(rule.proofs):
        if case in failing:
            said = "passes" if case.expect == "fires" else "fires"
            fault = f"the proof {case.name!r} expects that it {case.expect}, but it {said}"
            yield Reason("proof_fails", fault, f"rule.proofs.{index}", "another rule, or another expectation")


def named(code: str) -> str:
    return code.replace("_", " ")
