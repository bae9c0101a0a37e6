"""Whose records a person may see."""

from datetime import datetime, timedelta

from services.opportunity.queries.scope import scope_of
from shared.contracts.account import (
    ManagerAppointed,
    PersonJoined,
    TeamFormed,
    TeamMemberJoined,
    TeamMemberLeft,
    TeamMoved,
)
from shared.service.visibility import Scope
from shared.testing.given import START
from tests.services.opportunity.queries.conftest import Ask
from tests.services.opportunity.records import Ledger, entity

BOSS, HEAD, WANG, LI, ZHAO = (entity(n) for n in range(1, 6))
EAST, NORTH, SOUTH, OTHER = (entity(n) for n in range(11, 15))
NOW = START + timedelta(days=100)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def company() -> Ledger:
    """East, led by Boss, has North (led by Head: Wang) and South (Li); Zhao is in Other."""
    ledger = Ledger()
    for person_id in (BOSS, HEAD, WANG, LI, ZHAO):
        ledger.write(f"person-{person_id}", PersonJoined(name="x"), START)
    for team_id, above in ((EAST, None), (NORTH, EAST), (SOUTH, EAST), (OTHER, None)):
        ledger.write(f"team-{team_id}", TeamFormed(name="t", parent_team_id=above), START)
    ledger.write(f"team-{EAST}", ManagerAppointed(person_id=BOSS), day(1))
    ledger.write(f"team-{NORTH}", ManagerAppointed(person_id=HEAD), day(1))
    for team_id, person_id in ((NORTH, WANG), (SOUTH, LI), (OTHER, ZHAO)):
        ledger.write(f"team-{team_id}", TeamMemberJoined(person_id=person_id), day(2))
    return ledger


async def test_a_member_sees_own_records_and_those_of_the_own_teams(ask: Ask) -> None:
    scope = await scope_of(await ask(company()), WANG, NOW)
    assert scope == Scope(False, frozenset({WANG}), frozenset({NORTH}))
    assert scope.covers(WANG, None)
    assert scope.covers(None, NORTH)
    assert not scope.covers(HEAD, SOUTH)
    assert not scope.covers(None, None)


async def test_a_manager_sees_the_whole_subtree(ask: Ask) -> None:
    connection = await ask(company())
    boss, head = await scope_of(connection, BOSS, NOW), await scope_of(connection, HEAD, NOW)
    assert boss == Scope(False, frozenset({BOSS, HEAD, WANG, LI}), frozenset({EAST, NORTH, SOUTH}))
    assert head == Scope(False, frozenset({HEAD, WANG}), frozenset({NORTH}))


async def test_who_belongs_nowhere_sees_only_what_is_their_own(ask: Ask) -> None:
    ledger = company()
    ledger.write(f"team-{OTHER}", TeamMemberLeft(person_id=ZHAO), day(50))
    connection = await ask(ledger)
    assert (await scope_of(connection, ZHAO, NOW)).teams == frozenset()
    assert (await scope_of(connection, ZHAO, day(49))).teams == {OTHER}
    assert (await scope_of(connection, entity(99), NOW)).people == {entity(99)}


async def test_a_former_manager_sees_the_subtree_no_more(ask: Ask) -> None:
    ledger = company()
    ledger.write(f"team-{EAST}", ManagerAppointed(person_id=ZHAO), day(60))
    connection = await ask(ledger)
    assert (await scope_of(connection, BOSS, NOW)).people == {BOSS}
    assert (await scope_of(connection, ZHAO, NOW)).people == {ZHAO, HEAD, WANG, LI}


async def test_a_ring_of_teams_that_late_facts_made_ends(ask: Ask) -> None:
    ledger = company()
    ledger.write(f"team-{EAST}", TeamMoved(parent_team_id=NORTH), day(70))
    assert (await scope_of(await ask(ledger), HEAD, NOW)).teams == {EAST, NORTH, SOUTH}
