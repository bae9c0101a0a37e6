"""Lists: as of when, known when, by whom, in which order, found by which words."""

from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.domain.opportunity.page import position
from services.opportunity.queries.funnel import GROUP_COLUMNS
from services.opportunity.queries.listing import SORT_COLUMNS, After, Order, first_cards, page, totals
from services.opportunity.queries.view import Filters, View
from shared.contracts.event import Event
from shared.contracts.opportunity import (
    AmountEstimated,
    BuyingStageObserved,
    Commented,
    ExternalIdLinked,
    OpportunityFlagged,
    OpportunityLost,
    OpportunityOpened,
    OwnerAssigned,
    RiskDecided,
    StageSkipped,
)
from shared.kit.money import Money
from shared.service.visibility import NOTHING, Scope
from tests.services.opportunity.deals import SEEN
from tests.services.opportunity.queries.conftest import Ask
from tests.services.opportunity.queries.world import (
    ALONE,
    BRANCH,
    GROUP,
    NOW,
    OWNERS,
    PROCESSES,
    TEAMS,
    Moment,
    company,
    day,
    lives,
    random_company,
    view,
)
from tests.services.opportunity.records import Ledger

FANG, LI = OWNERS[1], OWNERS[2]


def opened(name: str, **fields: Any) -> Event:
    return OpportunityOpened(name=name, process="short", process_version=1, **fields)


def sold(*deals: Event) -> Ledger:
    """A company where these were opened, one a day."""
    ledger = company()
    for number, event in enumerate(deals, 1):
        ledger.opportunity(number, (event, day(number)))
    return ledger


async def names(connection: AsyncConnection, asked: View, sort: str = "name") -> list[str]:
    return [row["name"] for row in await page(connection, asked, Order.parse(sort), 1_000)]


@pytest.mark.parametrize("seed", range(3))
async def test_a_list_is_what_the_facts_say_at_every_moment(ask: Ask, seed: int) -> None:
    ledger = random_company(seed)
    connection = await ask(ledger)
    deals = [one for one in ledger.records if one.stream_id.startswith("opportunity-")]
    fact, other = deals[len(deals) // 2], deals[len(deals) // 3]  # the very moments of facts count, too
    for as_of in (None, fact.occurred_at, other.occurred_at, day(80)):
        for known_at in (None, fact.recorded_at, other.recorded_at, day(120)):
            asked = view(as_of=as_of, known_at=known_at, belonging="then")
            found = {row["opportunity_id"]: row for row in await page(connection, asked, Order(), 100)}
            expected = lives(ledger, as_of, known_at)
            assert found.keys() == expected.keys()
            for opportunity_id, moments in expected.items():
                assert_row(found[opportunity_id], moments)


def assert_row(row: Any, moments: list[Moment]) -> None:
    state = moments[-1].state
    at = asdict(position(state, PROCESSES[state.process]))
    same = ["completed_stage", "entered_stage", "working_stage", "buying_stage", "funnel_state"]
    same += ["probability_low", "probability_high", "synchrony", "decision_due"]
    assert {name: row[name] for name in same} == {name: at[name] for name in same}
    assert row["outcome"] == state.outcome
    due = [one for one in moments if not state.closed or one.start <= state.outcome_since]
    then = due[-1].state
    assert (row["owner_id"], row["team_id"], row["account_id"]) == (then.owner_id, then.team_id, then.account_id)


async def test_what_lags_far_behind_is_chased_until_it_is_decided(ask: Ask) -> None:
    ledger = sold(*(opened(name) for name in ("in time", "far", "decided", "lost")))
    for number in (2, 3, 4):
        ledger.opportunity(number, (BuyingStageObserved(stage=3, evidence=SEEN), day(8)))
    ledger.opportunity(3, (RiskDecided(decision="catch_up", reason="big"), day(9)))
    ledger.opportunity(4, (OpportunityLost(reason="price"), day(9)))
    connection = await ask(ledger)
    assert await names(connection, view(Filters(decision_due=True))) == ["far"]
    assert await names(connection, view(Filters(decision_due=True), as_of=day(8))) == ["decided", "far", "lost"]
    assert await names(connection, view(Filters(decision_due=False))) == ["decided", "in time", "lost"]
    assert await names(connection, view(Filters(synchrony=("at_risk",)))) == ["decided", "far", "lost"]
    assert await names(connection, view(Filters(synchrony=("in_sync", "ahead")))) == ["in time"]


async def test_a_stage_is_found_by_its_code_whatever_its_number(ask: Ask) -> None:
    ledger = sold(opened("first"), opened("second"))
    ledger.opportunity(2, (StageSkipped(stage=1, reason="r"), day(8)))
    ledger.opportunity(3, (OpportunityOpened(name="other", process="default", process_version=1), day(8)))
    connection = await ask(ledger)
    assert await names(connection, view(Filters(stage=("stage_2",)))) == ["second"]
    assert await names(connection, view(Filters(stage=("prospecting", "stage_2")))) == ["other", "second"]
    assert await names(connection, view(Filters(stage=(1,)))) == ["first", "other"]
    assert await names(connection, view(Filters(stage=("stage_1", 2)))) == ["first", "second"]


async def test_the_latest_is_shown_whatever_the_clock_says(ask: Ask) -> None:
    """A fact that another machine dates a little ahead is not hidden from whoever asks for now."""
    ledger = company()
    ledger.opportunity(1, (opened("ahead"), NOW + timedelta(minutes=4)))
    connection = await ask(ledger)
    assert await names(connection, view()) == ["ahead"]
    assert await names(connection, view(as_of=NOW)) == []


async def test_then_is_whose_it_was_and_now_is_whose_it_is(ask: Ask) -> None:
    ledger = sold(opened("a", owner_id=FANG), opened("b", owner_id=FANG))
    ledger.opportunity(1, (OpportunityLost(reason="price"), day(5)), (OwnerAssigned(owner_id=LI), day(9)))
    ledger.opportunity(2, (OwnerAssigned(owner_id=LI), day(9)))
    connection = await ask(ledger)
    of_fang = Filters(owner=(FANG,))
    assert await names(connection, view(of_fang, belonging="then")) == ["a"]
    assert await names(connection, view(of_fang, belonging="now")) == []
    assert await names(connection, view(of_fang, belonging="then", as_of=day(8))) == ["a", "b"]
    assert await names(connection, view(of_fang, belonging="now", as_of=day(8))) == []
    assert await names(connection, view(Filters(owner=(LI,)), belonging="now", as_of=day(8))) == ["a", "b"]


async def test_visible_is_what_one_owns_or_ones_team_has_now(ask: Ask) -> None:
    ledger = sold(opened("mine", owner_id=FANG), opened("team", team_id=TEAMS[1]), opened("other", owner_id=LI))
    ledger.opportunity(4, (opened("handed over", owner_id=FANG), day(4)), (OwnerAssigned(owner_id=LI), day(9)))
    connection = await ask(ledger)
    scope = Scope(False, frozenset({str(FANG)}), frozenset({str(TEAMS[1])}))
    for moment in (None, day(8)):
        assert await names(connection, view(scope=scope, as_of=moment)) == ["mine", "team"]
        assert await names(connection, view(scope=NOTHING, as_of=moment)) == []


NARROWED: list[tuple[Filters, list[str]]] = [
    (Filters(owner=(FANG,)), ["a"]),
    (Filters(owner=(None,)), ["b", "c", "d"]),
    (Filters(owner=(FANG, None)), ["a", "b", "c", "d"]),
    (Filters(team=(TEAMS[2],)), ["b"]),
    (Filters(account=(GROUP,)), ["b", "c"]),
    (Filters(only_account=(GROUP,)), ["b"]),
    (Filters(account=(BRANCH, None)), ["a", "c"]),
    (Filters(process=("default",)), ["d"]),
    (Filters(stage=(1, 2), outcome=("lost",)), ["a"]),
    (Filters(state=("searching",), currency=(None,)), ["a", "c", "d"]),
    (Filters(currency=("CNY",)), ["b"]),
    (Filters(reason=("price",)), ["a"]),
    (Filters(reason=(None,), competitor=(None,)), ["b", "c", "d"]),
    (Filters(flag=("doubt", "other")), ["c"]),
    (Filters(updated_after=day(6)), ["a"]),
    (Filters(closed_from=day(7), closed_before=day(8)), ["a"]),
    (Filters(closed_from=day(8)), []),
    (Filters(closed_before=day(7)), []),
    (Filters(owner=(FANG,), account=(GROUP,)), []),
]


async def test_a_filter_narrows(ask: Ask) -> None:
    by_default = OpportunityOpened(name="d", process="default", process_version=1, account_id=ALONE)
    money = Money(minor=5, currency="CNY")
    b = opened("b", team_id=TEAMS[2], account_id=GROUP, amount=money)
    ledger = sold(opened("a", owner_id=FANG), b, opened("c", account_id=BRANCH), by_default)
    ledger.opportunity(3, (OpportunityFlagged(flags=("doubt",)), day(5)))
    ledger.opportunity(1, (OpportunityLost(reason="price"), day(7)))
    connection = await ask(ledger)
    for filters, found in NARROWED:
        assert (filters, await names(connection, view(filters))) == (filters, found)


FOUND: list[tuple[str, list[str]]] = [
    ("三线", ["灌装三线 Line"]),
    ("ＬＩＮＥ", ["灌装三线 Line"]),
    ("顶点 三线", ["灌装三线 Line"]),
    ("acme", ["50%_off"]),
    ("50%", ["50%_off"]),
    ("%", ["50%_off"]),
    ("5_%", []),
    ("crm-77", ["Ｗide"]),
    ("wide", ["Ｗide"]),
    ("'; drop table span; --", []),
    ("\\", []),
    ("nothing", []),
    (" ", ["50%_off", "Ｗide", "灌装三线 Line"]),
]


async def test_words_are_found_in_names_accounts_and_foreign_ids(ask: Ask) -> None:
    ledger = sold(opened("灌装三线 Line", account_id=GROUP), opened("50%_off", account_id=BRANCH), opened("Ｗide"))
    ledger.opportunity(3, (ExternalIdLinked(system="crm", external_id="CRM-77"), day(5)))
    connection = await ask(ledger)
    for q, found in FOUND:
        assert (q, await names(connection, view(Filters(q=q)))) == (q, found)


async def test_pages_follow_each_other_without_gap_in_every_order(ask: Ask) -> None:
    connection = await ask(random_company(7, 25))
    for sort in [sign + by for by in SORT_COLUMNS for sign in ("", "-")]:
        order = Order.parse(sort)
        whole = await page(connection, view(), order, 1_000)
        values = [row[SORT_COLUMNS[order.by]] for row in whole]
        known = [value for value in values if value is not None]
        assert known == sorted(known, reverse=order.descending)
        assert values[: len(known)] == known
        found: list[Any] = []
        after: After | None = None
        while rows := await page(connection, view(), order, 4, after):
            found += rows
            after = After.row(rows[-1], order)
        assert found == whole


async def test_names_are_sorted_alike_on_every_machine_and_whatever_their_case(ask: Ask) -> None:
    connection = await ask(sold(opened("zeta"), opened("Beta"), opened("alpha"), opened("Ａlpha 2"), opened("阿")))
    assert await names(connection, view(), "name") == ["alpha", "Ａlpha 2", "Beta", "zeta", "阿"]


def test_an_unknown_sort_is_named() -> None:
    with pytest.raises(ValueError, match="updated, opened, name"):
        Order.parse("--name")


async def test_totals_are_by_currency(ask: Ask) -> None:
    five, six = Money(minor=5, currency="CNY"), Money(minor=6, currency="USD")
    connection = await ask(
        sold(opened("a", amount=five), opened("b", amount=five), opened("c", amount=six), opened("d"))
    )
    found = [(row["currency"], row["count"], row["amount_minor"]) for row in await totals(connection, view())]
    assert found == [("CNY", 2, 10), ("USD", 1, 6), (None, 1, 0)]
    assert all(type(row["amount_minor"]) is int for row in await totals(connection, view()))


@pytest.mark.parametrize("moment", [{}, {"as_of": day(20)}, {"as_of": day(20), "belonging": "then"}])
async def test_totals_count_what_is_listed(ask: Ask, moment: dict[str, Any]) -> None:
    connection = await ask(random_company(5, 25))
    asked = [
        Filters(), Filters(owner=(FANG,)), Filters(team=(TEAMS[0],)), Filters(state=("in_funnel", "searching")),
        Filters(synchrony=("behind", "in_sync")), Filters(stage=(2,)), Filters(decision_due=False), Filters(account=(GROUP,)),
        Filters(q="1"), Filters(outcome=("open",), owner=(FANG, LI)),
    ]  # fmt: skip
    for filters in asked:
        asking = replace(view(), filters=filters, **moment)
        counted = {row["currency"]: (row["count"], row["amount_minor"]) for row in await totals(connection, asking)}
        listed: dict[str | None, tuple[int, int]] = {}
        for row in await page(connection, asking, Order(), 1_000):
            count, amount = listed.get(row["currency"], (0, 0))
            listed[row["currency"]] = count + 1, amount + (row["amount_minor"] or 0)
        assert counted == listed, filters


async def test_a_board_shows_the_first_cards_of_every_column(ask: Ask) -> None:
    connection = await ask(random_company(3, 25))
    every = await page(connection, view(), Order.parse("-amount"), 1_000)
    cards = await first_cards(connection, view(), GROUP_COLUMNS["stage"], Order.parse("-amount"), 2)
    for column in {row["working_stage"] for row in every}:
        expected = [row["opportunity_id"] for row in every if row["working_stage"] == column][:2]
        assert [row["opportunity_id"] for row in cards if row["working_stage"] == column] == expected


async def test_a_fact_moves_the_opportunity_up_in_the_list_of_updates(ask: Ask) -> None:
    ledger = sold(opened("a"), opened("b"))
    ledger.opportunity(1, (Commented(text="hm"), day(1), day(8)))
    ledger.opportunity(2, (AmountEstimated(amount=Money(minor=1, currency="CNY")), day(3)))
    connection = await ask(ledger)
    assert await names(connection, view(), "-updated") == ["a", "b"]
    assert await names(connection, replace(view(), known_at=day(7)), "-updated") == ["b", "a"]
