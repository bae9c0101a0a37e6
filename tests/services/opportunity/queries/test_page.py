"""One opportunity: as it was, as it was known, and all that was said about it."""

from datetime import datetime, timedelta
from typing import Any, get_args

import pytest

from services.opportunity.queries.page import HistoryOrder, Holder, history, holder, page
from shared.contracts.opportunity import (
    AmountEstimated,
    BuyingStageObserved,
    Commented,
    OpportunityOpened,
    OpportunityRenamed,
    OwnerAssigned,
)
from shared.kit.money import Money
from shared.projections.reads import NotYetVisibleError
from tests.services.opportunity.deals import OPENED, OWNER, SEEN, SHORT
from tests.services.opportunity.queries.conftest import Ask
from tests.services.opportunity.queries.world import company, day
from tests.services.opportunity.records import Ledger, entity

ID = entity(1)


def one_deal() -> Ledger:
    """Renamed on day 10; that its amount was 5 from day 4 on became known on day 20."""
    ledger, late = company(), AmountEstimated(amount=Money(minor=5, currency="CNY"))
    ledger.opportunity(1, (OPENED, day(1)), (OpportunityRenamed(name="new"), day(10)), (late, day(4), day(20)))
    return ledger


async def test_a_page_is_the_opportunity_as_it_stands(ask: Ask) -> None:
    ledger = one_deal()
    ledger.opportunity(1, (BuyingStageObserved(stage=3, evidence=SEEN), day(30)))
    found = await page(await ask(ledger), ID)
    assert found is not None
    assert (found.state.name, found.state.amount, found.version, found.updated_at) == (
        "new",
        Money(minor=5, currency="CNY"),
        4,
        day(30),
    )
    assert (found.process, found.position.synchrony, found.position.decision_due) == (SHORT, "at_risk", True)


async def test_a_page_of_a_moment_shows_what_was_so_by_what_was_known(ask: Ask) -> None:
    connection = await ask(one_deal())
    minor = {}
    for as_of in (None, day(5)):
        for known_at in (None, day(15)):
            found = await page(connection, ID, as_of, known_at)
            assert found is not None
            minor[as_of, known_at] = (found.state.name, found.state.amount is not None, found.version)
    assert minor == {
        (None, None): ("new", True, 3),
        (None, day(15)): ("new", False, 2),
        (day(5), None): ("Line 3", True, 3),
        (day(5), day(15)): ("Line 3", False, 1),
    }


async def test_before_it_was_opened_or_known_and_of_another_id_there_is_no_page(ask: Ask) -> None:
    connection = await ask(one_deal())
    assert await page(connection, ID, as_of=day(1) - timedelta(seconds=1)) is None
    assert await page(connection, ID, known_at=day(0)) is None
    assert await page(connection, entity(2)) is None


async def test_a_process_that_is_not_folded_yet_is_said(ask: Ask) -> None:
    ledger = company()
    ledger.opportunity(1, (OpportunityOpened(name="x", process="short", process_version=2), day(1)))
    with pytest.raises(NotYetVisibleError, match="version 2 of the sales process short"):
        await page(await ask(ledger), ID)


async def test_the_holder_is_whose_it_is_now(ask: Ask) -> None:
    ledger = one_deal()
    ledger.opportunity(1, (OwnerAssigned(owner_id=OWNER), day(40)))
    connection = await ask(ledger)
    assert await holder(connection, ID) == Holder(OWNER, None)
    assert await holder(connection, entity(2)) is None


async def test_history_is_told_in_the_order_of_knowledge_or_of_business_time(ask: Ask) -> None:
    connection = await ask(one_deal())
    said = [one.version for one in await history(connection, ID, descending=False)]
    was_so = [one.version for one in await history(connection, ID, order="occurred", descending=False)]
    assert (said, was_so) == ([1, 2, 3], [1, 3, 2])
    assert [one.version for one in await history(connection, ID)] == [3, 2, 1]
    assert [one.version for one in await history(connection, ID, order="occurred")] == [2, 3, 1]


async def test_history_ends_at_both_moments(ask: Ask) -> None:
    connection = await ask(one_deal())
    assert [one.version for one in await history(connection, ID, as_of=day(5))] == [3, 1]
    assert [one.version for one in await history(connection, ID, known_at=day(15))] == [2, 1]
    assert [one.version for one in await history(connection, ID, as_of=day(4), known_at=day(20))] == [3, 1]


async def test_pages_of_history_follow_each_other_without_gap(ask: Ask) -> None:
    ledger = one_deal()
    ledger.opportunity(1, *((Commented(text=str(n)), day(n % 3 + 5)) for n in range(7)))
    connection = await ask(ledger)
    for order in get_args(HistoryOrder):
        for descending in (True, False):
            whole = await history(connection, ID, order=order, descending=descending)
            found: list[Any] = []
            after: tuple[datetime, int] | None = None
            while facts := await history(connection, ID, order=order, descending=descending, limit=3, after=after):
                found += facts
                after = (facts[-1].occurred_at, facts[-1].version)
            assert (len(whole), found) == (10, whole)
