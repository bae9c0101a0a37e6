"""The service's copy of who and what: names as they are, memberships over time."""

from datetime import datetime, timedelta
from typing import Any

from services.opportunity.projections.organisation import organisation
from services.opportunity.projections.spans import FOREVER
from shared.contracts.account import (
    AccountMoved,
    AccountRegistered,
    AccountRenamed,
    ManagerAppointed,
    ManagerRelieved,
    PersonChanged,
    PersonJoined,
    PersonLeft,
    PersonReturned,
    ProductChanged,
    ProductListed,
    ProductRelisted,
    ProductRetired,
    TeamFormed,
    TeamMemberJoined,
    TeamMemberLeft,
    TeamMoved,
    TeamRenamed,
)
from shared.contracts.event import Event
from shared.kit.money import Money
from shared.projections.definition import Row
from shared.testing.given import START
from shared.testing.projections import fold_all, shuffled
from tests.services.opportunity.records import Ledger, entity

WANG, LI = entity(1), entity(2)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


async def rows(database: str, table: str, stream: str, *facts: tuple[Event, int]) -> list[Row]:
    """The rows of a table after facts of one stream, known in this order; the day says when each was so."""
    ledger = Ledger()
    for event, at in facts:
        ledger.write(f"{stream}-{entity(9)}", event, day(at), day(20))
    return list((await fold_all(database, organisation, ledger.records))[table])


def picked(row: Row, *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


async def test_an_account_has_its_latest_name_and_place(database: str) -> None:
    registered = AccountRegistered(name="Acme", names={"zh": "顶点"})
    facts = (registered, 0), (AccountMoved(parent_id=WANG), 1), (AccountRenamed(name="ＡCME", names={"zh": "高峰"}), 2)
    [row] = await rows(database, "account", "account", *facts)
    assert picked(row, "name", "names", "parent_id", "search") == ("ＡCME", {"zh": "高峰"}, WANG, "acme\n高峰")


async def test_a_person_comes_goes_and_returns(database: str) -> None:
    joined, changed = PersonJoined(name="Wang", subject="w"), PersonChanged(name="Wang Fang", subject="wf")
    [row] = await rows(database, "person", "person", (joined, 0), (PersonLeft(), 1), (changed, 2))
    assert picked(row, "name", "subject", "active") == ("Wang Fang", "wf", False)
    [row] = await rows(database, "person", "person", (joined, 0), (PersonLeft(), 1), (PersonReturned(), 2))
    assert row["active"]


async def test_a_team_has_its_latest_name_and_place(database: str) -> None:
    facts = (TeamFormed(name="East"), 0), (TeamMoved(parent_team_id=LI), 1), (TeamRenamed(name="North"), 2)
    [row] = await rows(database, "team", "team", *facts)
    assert picked(row, "name", "parent_team_id") == ("North", LI)


async def test_a_retired_product_stays_retired_until_it_is_listed_again(database: str) -> None:
    price = Money(minor=5, currency="CNY")
    facts = (ProductListed(name="GTX", list_price=price), 0), (ProductRetired(), 1), (ProductChanged(name="GTX 2"), 2)
    [row] = await rows(database, "product", "product", *facts)
    assert picked(row, "name", "price_minor", "currency", "retired") == ("GTX 2", None, None, True)
    [row] = await rows(database, "product", "product", *facts, (ProductRelisted(), 3))
    assert not row["retired"]


async def test_who_belonged_when_follows_business_time_however_late_it_became_known(database: str) -> None:
    facts = (TeamFormed(name="East"), 0), (TeamMemberLeft(person_id=WANG), 9), (TeamMemberJoined(person_id=WANG), 2)
    [row] = await rows(database, "membership", "team", *facts)
    assert picked(row, "role", "person_id", "valid_from", "valid_to") == ("member", WANG, day(2), day(9))


async def test_the_next_manager_relieves_the_former(database: str) -> None:
    facts = (
        (ManagerAppointed(person_id=WANG), 1),
        (ManagerAppointed(person_id=LI), 5),
        (ManagerRelieved(person_id=LI), 8),
    )
    found = await rows(database, "membership", "team", (TeamFormed(name="East"), 0), *facts)
    assert [picked(row, "person_id", "valid_from", "valid_to") for row in found] == [
        (WANG, day(1), day(5)),
        (LI, day(5), day(8)),
    ]


async def test_what_is_said_twice_begins_with_the_first_word(database: str) -> None:
    facts = (TeamMemberJoined(person_id=WANG), 1), (TeamMemberJoined(person_id=WANG), 5)
    [row] = await rows(database, "membership", "team", (TeamFormed(name="East"), 0), *facts)
    assert picked(row, "valid_from", "valid_to") == (day(1), FOREVER)


async def test_it_comes_out_the_same_twice_one_by_one_and_shuffled(database: str) -> None:
    ledger = Ledger()
    for number in range(1, 5):
        ledger.write(f"person-{entity(number)}", PersonJoined(name=f"P{number}"), day(0))
        ledger.write(f"account-{entity(number)}", AccountRegistered(name=f"A{number}"), day(0))
        ledger.write(f"team-{entity(number)}", TeamFormed(name=f"T{number}"), day(0))
        for person in range(1, 5):
            ledger.write(f"team-{entity(number)}", TeamMemberJoined(person_id=entity(person)), day(person))
            ledger.write(f"team-{entity(number)}", ManagerAppointed(person_id=entity(person)), day(9 - person), day(9))
        ledger.write(f"account-{entity(number)}", AccountMoved(parent_id=entity(5 - number)), day(2), day(9))
    tables = await fold_all(database, organisation, ledger.records)
    assert await fold_all(database, organisation, ledger.records, batch=1) == tables
    assert await fold_all(database, organisation, shuffled(ledger.records, 1), batch=5) == tables
