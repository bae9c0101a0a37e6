"""The book of gates: versions, times, retirement, the authority matrix."""

from datetime import datetime
from typing import Any

import pytest

from services.opportunity.domain.gates.book import (
    DefineAuthority,
    DefineGate,
    RetireGate,
    decide_authority,
    decide_gate,
    decide_retire,
)
from services.opportunity.domain.gates.defaults import DEFAULT_AUTHORITY, DEFAULT_GATES
from services.opportunity.domain.gates.rule import prove
from shared.contracts.event import Event
from shared.contracts.opportunity import Condition, GateRetired, Grant, Guard, ProofCase
from shared.kit.money import Money
from shared.testing.given import START, Result, given
from tests.services.opportunity.domain.gates.rules import DAY, MATRIX, PROOFS, Books, book, defined, rule

NOW = START + 10 * DAY


def defining(command: DefineGate, *facts: Event, new: bool = False, key: str = "gate") -> Result:
    return given(Books(), [(fact, START) for fact in facts]).when(
        lambda state: decide_gate(state, key, command, NOW, new=new)
    )


def retiring(command: RetireGate, *facts: Event, key: str = "gate") -> Result:
    return given(Books(), [(fact, START) for fact in facts]).when(lambda state: decide_retire(state, key, command, NOW))


def test_the_first_version_is_in_force_from_now_on() -> None:
    defining(DefineGate(rule=rule()), new=True).then(defined(at=NOW))


def test_a_key_is_taken_once_and_versions_are_of_what_is_there() -> None:
    defining(DefineGate(rule=rule()), defined(), new=True).refused("gate_exists")
    defining(DefineGate(rule=rule())).refused("unknown_gate")


def test_another_rule_is_another_version_and_the_same_one_is_none() -> None:
    defining(DefineGate(rule=rule(mode="warn")), defined()).then(defined(version=2, mode="warn", at=NOW))
    defining(DefineGate(rule=rule()), defined()).nothing()


def test_the_same_rule_comes_back_after_it_was_retired() -> None:
    retired = GateRetired(key="gate", effective_from=START + DAY, reason="over")
    defining(DefineGate(rule=rule()), defined(), retired).then(defined(version=2, at=NOW))


def test_nobody_is_bound_backwards() -> None:
    defining(DefineGate(rule=rule(), effective_from=START), defined(mode="warn")).refused("effective_in_the_past")
    backwards = DefineGate(rule=rule(), effective_from=NOW + DAY, effective_to=NOW)
    defining(backwards, defined(mode="warn")).refused("effective_backwards")


def test_retiring_ends_it_once() -> None:
    ends = GateRetired(key="gate", effective_from=NOW, reason="over")
    retiring(RetireGate(reason="over"), defined()).then(ends)
    retiring(RetireGate(reason="over"), defined(), ends).nothing()
    retiring(RetireGate(reason="over")).refused("unknown_gate")
    retiring(RetireGate(reason="over", effective_from=START), defined()).refused("effective_in_the_past")


@pytest.mark.parametrize(
    ("at", "version"),
    [(START, 1), (START + DAY, 2), (START + 2 * DAY, None), (START + 3 * DAY, 3), (START + 5 * DAY, None)],
)
def test_what_is_in_force_when(at: datetime, version: int | None) -> None:
    entries = book(
        defined(),
        defined(version=2, at=START + DAY),
        GateRetired(key="gate", effective_from=START + 2 * DAY, reason="over"),
        defined(version=3, at=START + 3 * DAY, until=START + 5 * DAY),
    )
    found = entries.in_force("gate", at)
    assert (found and found.version) == version
    assert entries.in_force("other", at) is None


def test_what_is_scheduled_comes_into_force_whatever_is_said_before_it_does() -> None:
    entries = book(defined(at=START + 5 * DAY), defined(version=2, at=START + DAY))
    assert [gate.version for gate in entries.gates(START + 2 * DAY)] == [2]
    assert [gate.version for gate in entries.gates(START + 6 * DAY)] == [1]
    again = book(defined(at=START + DAY), defined(version=2, at=START + DAY))
    assert [gate.version for gate in again.gates(START + DAY)] == [2]


def test_what_is_said_for_now_counts_though_the_same_is_scheduled() -> None:
    later = NOW + 5 * DAY
    scheduled = (defined(), defined(version=2, mode="warn", at=later))
    defining(DefineGate(rule=rule(mode="warn")), *scheduled).then(defined(version=3, mode="warn", at=NOW))
    defining(DefineGate(rule=rule()), *scheduled).nothing()
    defining(DefineGate(rule=rule(), effective_from=later), *scheduled).then(defined(version=3, at=later))


def test_a_retirement_for_now_counts_though_one_is_scheduled() -> None:
    coming = GateRetired(key="gate", effective_from=NOW + DAY, reason="over")
    retiring(RetireGate(reason="now"), defined(), coming).then(
        GateRetired(key="gate", effective_from=NOW, reason="now")
    )


def test_retiring_takes_back_what_would_come_into_force_later() -> None:
    retired = [GateRetired(key="gate", effective_from=at, reason="over") for at in (NOW, NOW + DAY)]
    result = retiring(RetireGate(reason="over"), defined(), defined(version=2, at=NOW + DAY))
    result.then(retired)
    entries = book(defined(), defined(version=2, at=NOW + DAY), *retired)
    assert entries.gates(NOW + 2 * DAY) == ()


def test_a_matrix_that_is_scheduled_comes_into_force() -> None:
    soon = MATRIX.model_copy(update={"version": 2, "effective_from": NOW + DAY, "standard_payment_days": 60})
    deciding(authority(*MATRIX.grants, days=60), MATRIX, soon).then(
        soon.model_copy(update={"version": 3, "effective_from": NOW})
    )
    deciding(authority(*MATRIX.grants), MATRIX, soon).nothing()
    last = MATRIX.model_copy(update={"version": 3, "effective_from": NOW, "standard_payment_days": 90})
    entries = book(MATRIX, soon, last)
    found = [entries.authority(at) for at in (START, NOW, NOW + DAY)]
    assert [one and one.version for one in found] == [1, 3, 2]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"names": {"zh": "规则"}}, "missing_name"),
        ({"message": {"en": " "}}, "missing_name"),
        ({"guards": (Guard(act="win", stages=(1,)),)}, "bad_guard"),
        ({"level": 1}, "bad_level"),
        ({"requires": Condition()}, "bad_condition"),
        ({"applies_when": Condition(fact="nonsense", test="known")}, "unknown_fact"),
        ({"proofs": (*PROOFS, ProofCase(name="a", facts={"nonsense": 1}, expect="fires"))}, "unknown_fact"),
        ({"proofs": (*PROOFS, ProofCase(name="a", facts={"amount": 1}, expect="fires"))}, "bad_value"),
        ({"proofs": (*PROOFS, ProofCase(name="nothing known", expect="passes"))}, "proof_fails"),
        ({"proofs": PROOFS[:1]}, "proof_missing"),
        ({"mode": "stop", "proofs": PROOFS[1:]}, "proof_missing"),
    ],
)
def test_a_rule_that_cannot_be_meant(fields: dict[str, Any], code: str) -> None:
    defining(DefineGate(rule=rule(**fields)), new=True).refused(code)


def test_a_rule_that_only_warns_may_come_without_proofs() -> None:
    assert defining(DefineGate(rule=rule(mode="warn", proofs=())), new=True).refusal is None


def test_everything_wrong_is_said_at_once() -> None:
    wrong = rule(names={}, level=1, requires=Condition(fact="nonsense", test="known"))
    defining(DefineGate(rule=wrong, effective_from=START), new=True).refused(
        "missing_name", "bad_level", "unknown_fact", "effective_in_the_past"
    )


def authority(*grants: Grant, days: int = 30) -> DefineAuthority:
    return DefineAuthority(standard_payment_days=days, grants=grants)


def deciding(command: DefineAuthority, *facts: Event) -> Result:
    return given(Books(), [(fact, START) for fact in facts]).when(lambda state: decide_authority(state, command, NOW))


def test_a_matrix_has_versions() -> None:
    deciding(authority(*MATRIX.grants)).then(MATRIX.model_copy(update={"effective_from": NOW}))
    deciding(authority(*MATRIX.grants), MATRIX).nothing()
    deciding(authority(days=60), MATRIX).then(
        MATRIX.model_copy(update={"version": 2, "effective_from": NOW, "standard_payment_days": 60, "grants": ()})
    )


def test_a_matrix_says_each_thing_once() -> None:
    grant, five = Grant(role="seller", kind="price", most=5), Money(minor=5, currency="CNY")
    deciding(authority(grant, grant)).refused("granted_twice")
    deciding(authority(grant.model_copy(update={"up_to": (five, five)}))).refused("currency_twice")
    debt = Money(minor=-5, currency="CNY")
    deciding(authority(grant.model_copy(update={"up_to": (debt,)}))).refused("negative_amount")


def test_the_default_book_can_be_meant_and_proves_itself() -> None:
    deciding(DEFAULT_AUTHORITY)
    for key, command in DEFAULT_GATES.items():
        assert defining(command, new=True, key=key).refusal is None
        assert command.rule.proofs
        assert not prove(command.rule)
