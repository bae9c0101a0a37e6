"""The given/when/then of the domain tests says no when it should."""

from datetime import UTC, datetime

import pytest

from shared.contracts.event import Contract, Event
from shared.contracts.refusal import RefusedError, refuse
from shared.eventstore.aggregate import Aggregate
from shared.testing.given import given, history

LAMP = Contract("lamp")


@LAMP.event("lamp.switched")
class Switched(Event):
    on: bool


SWITCH = Aggregate("lamp", False, lambda _, recorded: bool(recorded.event.on))


def decide(on: bool, wanted: bool | None) -> list[Event]:
    if wanted is None:
        raise RefusedError(refuse("a", "first").reasons + refuse("b", "second").reasons)
    return [] if wanted is on else [Switched(on=wanted)]


def test_what_was_decided() -> None:
    lit = given(SWITCH, [Switched(on=True)])
    lit.when(lambda state: decide(state, False)).then([Switched(on=False)])
    lit.when(lambda state: decide(state, True)).nothing()
    lit.when(lambda state: decide(state, None)).refused("b", "a")
    given(SWITCH).when(lambda _: Switched(on=True)).then(Switched(on=True))


def test_a_wrong_expectation_fails() -> None:
    accepted = given(SWITCH).when(lambda state: decide(state, True))
    refused = given(SWITCH).when(lambda state: decide(state, None))
    for wrong in (
        lambda: accepted.then([Switched(on=False)]),
        lambda: accepted.then([]),
        accepted.nothing,
        lambda: accepted.refused("a"),
        lambda: refused.then([]),
        refused.nothing,
        lambda: refused.refused("a"),
    ):
        with pytest.raises(AssertionError):
            wrong()


def test_facts_may_have_a_moment() -> None:
    moment = datetime(2017, 6, 30, tzinfo=UTC)
    first, second, third = history("lamp", [Switched(on=True), (Switched(on=False), moment), Switched(on=True)])
    assert (first.version, second.version, second.occurred_at) == (1, 2, moment)
    assert first.occurred_at < second.occurred_at < third.occurred_at
