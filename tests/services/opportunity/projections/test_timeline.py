"""The timeline against a model: whatever was said when, each moment of business time and of knowledge shows what it should."""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from services.opportunity.projections.spans import FOREVER, recorded
from services.opportunity.projections.timeline import timeline
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import (
    AmountEstimated,
    Commented,
    ExternalIdLinked,
    OpportunityLost,
    OpportunityRenamed,
    OpportunityReopened,
    OwnerAssigned,
    StageCompleted,
    StageEntered,
)
from shared.kit.money import Money
from shared.projections.definition import Row
from shared.testing.given import START
from shared.testing.projections import fold_all, shuffled
from tests.services.opportunity.deals import OPENED, OTHER, OWNER
from tests.services.opportunity.records import Ledger, entity

DAY = timedelta(days=1)
Tables = Mapping[str, list[Row]]


def day(number: int) -> datetime:
    return START + number * DAY


def cny(minor: int) -> AmountEstimated:
    return AmountEstimated(amount=Money(minor=minor, currency="CNY"))


def seen(tables: Tables, as_of: datetime, known_at: datetime, number: int = 1) -> Row | None:
    found = [
        row
        for row in tables["span"]
        if row["opportunity_id"] == entity(number)
        and row["valid_from"] <= as_of < row["valid_to"]
        and row["known_from"] <= known_at < row["known_to"]
    ]
    assert len(found) <= 1
    return found[0] if found else None


def model(facts: Sequence[Recorded[Any]], as_of: datetime, known_at: datetime) -> OpportunityState:
    state = INITIAL
    due = [one for one in facts if one.recorded_at <= known_at and one.occurred_at <= as_of]
    for one in sorted(due, key=lambda one: (one.occurred_at, one.version)):
        state = evolve(state, one)
    return state


COLUMNS = ["name", "owner_id", "team_id", "account_id", "outcome", "outcome_since", "reason", "completed_stage"]
COLUMNS += ["entered_stage", "stage_since", "buying_stage", "close_date", "opened_at", "process", "external_ids"]


def assert_like_the_model(tables: Tables, ledger: Ledger, number: int) -> None:
    facts = ledger.of(number)
    for known_at in sorted({one.recorded_at for one in facts} | {START - DAY, FOREVER - DAY}):
        for as_of in sorted({one.occurred_at for one in facts} | {START - DAY, FOREVER - DAY}):
            state, row = model(facts, as_of, known_at), seen(tables, as_of, known_at, number)
            if not state.exists:
                assert row is None
                continue
            assert row is not None
            assert {name: row[name] for name in COLUMNS} == {name: getattr(state, name) for name in COLUMNS}
            assert row["amount_minor"] == (state.amount and state.amount.minor)


async def test_before_an_opportunity_was_opened_or_known_there_is_none(database: str) -> None:
    ledger = Ledger()
    ledger.opportunity(1, (OPENED, day(1), day(3)))
    tables = await fold_all(database, timeline, ledger.records)
    assert seen(tables, day(0), day(9)) is None
    assert seen(tables, day(9), day(2)) is None
    assert seen(tables, day(1), day(3)) is not None


async def test_a_late_fact_corrects_the_past_and_what_was_believed_stays(database: str) -> None:
    ledger = Ledger()
    ledger.opportunity(1, (OPENED, day(0)), (cny(100), day(10)), (cny(80), day(5), day(20)))
    tables = await fold_all(database, timeline, ledger.records)
    amounts = {
        (of, at): (row := seen(tables, day(of), day(at))) and row["amount_minor"]
        for of in (4, 7, 12)
        for at in (15, 25)
    }
    assert amounts == {(4, 15): None, (4, 25): None, (7, 15): None, (7, 25): 80, (12, 15): 100, (12, 25): 100}


async def test_a_correction_of_the_same_moment_replaces_it_from_when_it_was_known(database: str) -> None:
    ledger = Ledger()
    ledger.opportunity(1, (OPENED, day(0)), (cny(100), day(10)), (cny(90), day(10), day(20)))
    tables = await fold_all(database, timeline, ledger.records)
    assert [(row := seen(tables, day(11), day(at))) and row["amount_minor"] for at in (11, 21)] == [100, 90]


async def test_facts_of_one_moment_make_one_span(database: str) -> None:
    ledger = Ledger()
    facts: list[Event] = [
        OPENED,
        StageEntered(stage=1),
        StageCompleted(stage=1),
        ExternalIdLinked(system="crm", external_id="ＡB"),
    ]
    ledger.opportunity(1, *((event, day(0)) for event in facts))
    tables = await fold_all(database, timeline, ledger.records)
    assert len(tables["fact"]) == 4
    [span] = tables["span"]
    assert (span["completed_stage"], span["version"], span["valid_to"], span["known_to"]) == (1, 4, FOREVER, FOREVER)
    assert (span["external_ids"], span["search"]) == ({"crm": "ＡB"}, "line 3\nab")


async def test_a_comment_moves_nothing_but_when_it_was_updated(database: str) -> None:
    ledger = Ledger()
    ledger.opportunity(1, (OPENED, day(0)), (Commented(text="hm"), day(3)))
    tables = await fold_all(database, timeline, ledger.records)
    now = seen(tables, day(9), day(9))
    assert now is not None
    assert (now["updated_at"], now["version"], now["stage_since"]) == (day(3), 2, day(0))


async def test_a_result_belongs_to_whose_it_was_when_it_ended(database: str) -> None:
    ledger = Ledger()
    lost = OpportunityLost(reason="price")
    ledger.opportunity(
        1,
        (OPENED, day(0)),
        (OwnerAssigned(owner_id=OWNER), day(1)),
        (lost, day(2)),
        (OwnerAssigned(owner_id=OTHER), day(3)),
    )
    ledger.opportunity(1, (OpportunityReopened(reason="back"), day(9)))
    tables = await fold_all(database, timeline, ledger.records)
    owners = [
        (row := seen(tables, day(at), day(20))) and (row["owner_id"], row["then_owner_id"]) for at in (0, 1, 2, 3, 9)
    ]
    assert owners == [(None, None), (OWNER, OWNER), (OWNER, OWNER), (OTHER, OWNER), (OTHER, OTHER)]


async def test_the_facts_are_kept_as_they_were(database: str) -> None:
    ledger = Ledger()
    ledger.opportunity(1, (OPENED, day(0)), (cny(100), day(10), day(11)))
    tables = await fold_all(database, timeline, ledger.records)
    assert [recorded(row) for row in tables["fact"]] == ledger.records


def random_facts(seed: int) -> Ledger:
    """Facts as no decision would make them: in any order, of any time, several at one moment."""
    chance, ledger = random.Random(seed), Ledger()
    known = START
    for number in range(1, 9):
        ledger.opportunity(number, (OPENED, day(chance.randrange(3)), known))
    for _ in range(60):
        known += chance.choice([timedelta(0), timedelta(0), DAY])
        event = chance.choice(
            [
                cny(chance.randrange(5)),
                OpportunityRenamed(name=chance.choice("ab")),
                OwnerAssigned(owner_id=chance.choice([None, OWNER, OTHER])),
                StageEntered(stage=chance.randrange(1, 4)),
                StageCompleted(stage=chance.randrange(1, 4)),
                OpportunityLost(reason="price"),
                OpportunityReopened(reason="back"),
                Commented(text="hm"),
            ]
        )
        ledger.opportunity(chance.randrange(1, 9), (event, day(chance.randrange(6)), known))
    return ledger


@pytest.mark.parametrize("seed", range(6))
async def test_every_moment_of_both_times_shows_what_the_facts_say(database: str, seed: int) -> None:
    ledger = random_facts(seed)
    tables = await fold_all(database, timeline, ledger.records)
    for number in range(1, 9):
        assert_like_the_model(tables, ledger, number)


@pytest.mark.parametrize("seed", range(3))
async def test_it_comes_out_the_same_twice_one_by_one_and_shuffled(database: str, seed: int) -> None:
    records = random_facts(seed).records
    tables = await fold_all(database, timeline, records)
    assert await fold_all(database, timeline, records, batch=1) == tables
    assert await fold_all(database, timeline, shuffled(records, seed), batch=7) == tables
