"""The change waterfall: over random histories it balances, splits, and is the difference of two pipelines; and what each bar is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.domain.opportunity import outcome, progress, terms
from services.opportunity.domain.opportunity.decide import decide
from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from services.opportunity.projections.timeline import timeline
from services.opportunity.queries.funnel import counts
from services.opportunity.queries.moment import OPEN
from services.opportunity.queries.moves import SIGNS, Bar, Between, PartBy
from services.opportunity.queries.view import Filters, View
from services.opportunity.queries.waterfall import AfterStep, Chosen, bars, count_steps, facts_behind, steps
from shared.contracts.opportunity import OpportunityOpened
from shared.contracts.refusal import RefusedError
from shared.kit.money import Money
from shared.projections.folding import fold
from shared.projections.generations import schema_of
from shared.service.visibility import Scope
from shared.testing.projections import envelope_of
from tests.services.opportunity.deals import SEEN, SHORT, circumstances
from tests.services.opportunity.queries.conftest import Ask
from tests.services.opportunity.queries.world import ALONE, BRANCH, GROUP, OWNERS, TEAMS, company, day, view
from tests.services.opportunity.records import Ledger, entity

DEALS, DAYS = 4, 5  # few days: much happens in one moment
EARLY, LATE = date(2017, 1, 20), date(2017, 5, 20)  # expected to close in the first quarter, in the second
IN_QUARTER = (date(2017, 1, 1), date(2017, 3, 31))
CNY, USD = (lambda minor: Money(minor=minor, currency="CNY")), (lambda minor: Money(minor=minor, currency="USD"))
Balance = Mapping[tuple[Any, str | None], tuple[int, int]]
"""(part, currency) → (money, number); what is nothing is left out."""

amounts = st.builds(Money, minor=st.integers(0, 4), currency=st.sampled_from(["CNY", "USD"]))
closings = st.sampled_from([EARLY, LATE])
commands = st.one_of(
    st.builds(terms.ChangeAmount, amount=amounts),
    st.builds(terms.ChangeCloseDate, close_date=closings),
    st.builds(terms.AssignOwner, owner_id=st.sampled_from(OWNERS)),
    st.builds(terms.AssignTeam, team_id=st.sampled_from(TEAMS)),
    st.builds(terms.AssignAccount, account_id=st.sampled_from([GROUP, BRANCH, ALONE])),
    st.builds(progress.AssertProgress, completed_stage=st.just(3), note=st.just("n")),
    st.builds(outcome.Win, amount=st.none() | amounts, evidence=st.just(SEEN)),
    st.builds(outcome.Lose, reason=st.just("price")),
    st.builds(outcome.Abandon, reason=st.just("budget")),
    st.builds(outcome.Pause, reason=st.just("frozen")),
    st.builds(outcome.Reopen, reason=st.just("again")),
)
births = st.builds(
    OpportunityOpened,
    name=st.just("Deal"),
    process=st.just("short"),
    process_version=st.just(1),
    owner_id=st.sampled_from(OWNERS),
    team_id=st.sampled_from(TEAMS),
    account_id=st.sampled_from([None, GROUP, BRANCH]),
    amount=st.none() | amounts,
    close_date=st.none() | closings,
)
actions = st.tuples(
    st.integers(1, DEALS), st.lists(commands, min_size=1, max_size=3), st.integers(0, DAYS), st.sampled_from([0, 0, 1])
)
"""(which opportunity, what of one moment, on which day in business, after how many days of knowledge)."""
histories = st.tuples(
    st.lists(st.tuples(births, st.integers(0, DAYS)), min_size=1, max_size=DEALS), st.lists(actions, max_size=20)
)
filters = st.builds(
    Filters,
    owner=st.sampled_from([(), (), (OWNERS[1],), (None, OWNERS[2])]),
    team=st.sampled_from([(), (), (TEAMS[1],)]),
    account=st.sampled_from([(), (), (GROUP,)]),
    currency=st.sampled_from([(), (), ("CNY",), (None,)]),
    closing=st.sampled_from([None, IN_QUARTER]),
)
days = st.integers(-1, 2 * DAYS)


def told(history: tuple[list[tuple[Any, int]], list[tuple[int, list[Any], int, int]]]) -> Ledger:
    """The facts of it, on top of the company; what is refused leaves none. Late ones, and several of one moment, among them."""
    ledger, known = company(), day(0)
    states: dict[int, OpportunityState] = {}
    for number, (born, at) in enumerate(history[0], 1):
        ledger.opportunity(number, (born, day(at), known))
        states[number] = evolve(INITIAL, ledger.records[-1])
    for number, at_once, at, later in history[1]:
        known = max(known + timedelta(days=later), day(at))
        for command in at_once if number in states else ():
            try:
                decided = decide(states[number], command, circumstances(day(at), SHORT))
            except RefusedError:
                continue
            for event in decided:
                ledger.opportunity(number, (event, day(at), known))
                states[number] = evolve(states[number], ledger.records[-1])
    return ledger


async def stood(connection: AsyncConnection, asked: View, by: Sequence[Any] = ()) -> Balance:
    rows = await counts(connection, asked, by)
    return {(tuple(row[name] for name in by), row["currency"]): (row["amount_minor"], row["count"]) for row in rows}


async def moved(
    connection: AsyncConnection, asked: View, between: Between, by: PartBy | None = None
) -> dict[Any, Counter[str]]:
    """(part, bar, currency) → minor, count, changes."""
    rows = await bars(connection, asked, between, by)
    return {
        ((row[by],) if by else (), row["bar"], row["currency"]): Counter(
            {name: int(row[name]) for name in ("minor", "count", "changes")}
        )
        for row in rows
    }


def closed(opening: Balance, by_bar: dict[Any, Counter[str]]) -> Balance:
    """The opening, and all bars on top."""
    sums = {key: [money, number] for key, (money, number) in opening.items()}
    for (part, _, currency), change in by_bar.items():
        both = sums.setdefault((part, currency), [0, 0])
        both[0] += change["minor"]
        both[1] += change["count"]
    return {key: (money, number) for key, (money, number) in sums.items() if money or number}


def added(one: dict[Any, Counter[str]], other: dict[Any, Counter[str]]) -> dict[Any, dict[str, int]]:
    keys = {*one, *other}
    names = ("minor", "count", "changes")
    return {key: {n: one.get(key, Counter())[n] + other.get(key, Counter())[n] for n in names} for key in keys}


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    history=histories,
    chosen=filters,
    moments=st.tuples(days, days, days).map(sorted),
    clock=st.sampled_from(["business", "knowledge"]),
    known=st.none() | days,
    belonging=st.sampled_from(["then", "now"]),
    by=st.sampled_from([None, *get_args(PartBy)]),
)
async def test_it_balances_splits_and_is_the_difference_of_two_pipelines(
    ask: Ask,
    history: Any,
    chosen: Filters,
    moments: list[int],
    clock: Any,
    known: Any,
    belonging: Any,
    by: PartBy | None,
) -> None:
    connection = await _base(ask)
    ledger = told(history)
    await _fold(connection, ledger)
    asked = view(chosen, belonging=belonging)
    known_at = day(known) if known is not None and clock == "business" else None
    first, middle, last = (Between(clock, day(a), day(b), known_at) for a, b in _pairs(moments))
    groups = [by] if by else []
    opening = await stood(connection, first.at_start(asked), groups)
    whole = await moved(connection, asked, first, by)
    assert closed(opening, whole) == {
        key: found for key, found in (await stood(connection, first.at_end(asked), groups)).items() if found != (0, 0)
    }
    before, after = await moved(connection, asked, middle, by), await moved(connection, asked, last, by)
    assert added(before, after) == added(whole, {})
    for (_, bar, _), change in whole.items():
        assert SIGNS[bar] * change["minor"] >= 0 <= SIGNS[bar] * change["count"]
    if by is not None and belonging == "then":
        for part in {key[0] for key in whole}:
            name = "only_account" if by == "account" else by
            if not getattr(chosen, name) and not (by == "account" and chosen.account):
                alone = await moved(connection, replace(asked, filters=replace(chosen, **{name: part})), first)
                assert {((), *key[1:]): value for key, value in whole.items() if key[0] == part} == alone
    await connection.rollback()


def _pairs(moments: list[int]) -> list[tuple[int, int]]:
    a, b, c = moments
    return [(a, c), (a, b), (b, c)]


_BASES: dict[int, AsyncConnection] = {}


async def _base(ask: Ask) -> AsyncConnection:
    """One company for all examples of a test."""
    if id(ask) not in _BASES:
        _BASES.clear()
        _BASES[id(ask)] = await ask(company())
    return _BASES[id(ask)]


async def _fold(connection: AsyncConnection, ledger: Ledger) -> None:
    """For this transaction only."""
    assert connection.sync_connection is not None
    translated = dict(connection.sync_connection.get_execution_options()["schema_translate_map"])
    facts = [envelope_of(one) for one in ledger.records if one.stream_id.startswith("opportunity-")]
    await fold(connection, timeline, schema_of(timeline, 1), facts)
    await connection.execution_options(schema_translate_map=translated)


def deal(ledger: Ledger, number: int, amount: Money | None, born: float = 1, **fields: Any) -> None:
    fields = {"owner_id": OWNERS[1], "close_date": EARLY, **fields}
    event = OpportunityOpened(name=f"Deal {number}", process="short", process_version=1, amount=amount, **fields)
    ledger.opportunity(number, (event, day(born)))


def ended(ledger: Ledger, number: int, command: Any, at: float) -> None:
    ledger.decide(number, [command], [day(at)])


def every_bar() -> Ledger:
    """Between the days 10 and 20, for the first owner and the first quarter: each bar at least once."""
    ledger = company()
    deal(ledger, 1, CNY(100), born=12)
    for number, amount in ((2, 50), (3, 50), (5, 60), (7, 30), (8, 20), (9, 10), (10, 11), (11, 12), (12, 5), (14, 8)):
        deal(ledger, number, CNY(amount))
    deal(ledger, 4, CNY(70), close_date=LATE)
    for number, minor in ((6, 40), (15, 6)):
        deal(ledger, number, CNY(minor), owner_id=OWNERS[2])
    ended(ledger, 8, outcome.Lose(reason="price"), 2)
    ended(ledger, 11, progress.AssertProgress(completed_stage=3, note="n"), 3)
    ended(ledger, 2, terms.ChangeAmount(amount=CNY(80)), 12)
    ended(ledger, 3, terms.ChangeAmount(amount=CNY(20)), 12)
    deal(ledger, 13, CNY(9), born=12)
    ended(ledger, 13, outcome.Lose(reason="price"), 12)
    ended(ledger, 4, terms.ChangeCloseDate(close_date=EARLY), 13)
    ended(ledger, 5, terms.ChangeCloseDate(close_date=LATE), 13)
    ended(ledger, 6, terms.AssignOwner(owner_id=OWNERS[1]), 14)
    ended(ledger, 7, terms.AssignOwner(owner_id=OWNERS[2]), 14)
    ended(ledger, 8, outcome.Reopen(reason="again"), 15)
    ended(ledger, 9, outcome.Lose(reason="price"), 15)
    ended(ledger, 10, outcome.Abandon(reason="budget"), 15)
    ended(ledger, 11, outcome.Win(amount=CNY(15), evidence=SEEN), 16)
    ended(ledger, 12, terms.ChangeAmount(amount=USD(7)), 17)
    for number, to in ((14, OWNERS[2]), (15, OWNERS[1])):  # handed over and lost in one moment
        ended(ledger, number, terms.AssignOwner(owner_id=to), 18)
        ended(ledger, number, outcome.Lose(reason="price"), 18)
    return ledger


OF_THE_FIRST = Filters(owner=(OWNERS[1],), closing=IN_QUARTER)
TEN_DAYS = Between("business", day(10), day(20))


async def test_each_bar_is_what_it_says(ask: Ask) -> None:
    connection = await ask(every_bar())
    asked = view(OF_THE_FIRST, belonging="then")
    assert await stood(connection, TEN_DAYS.at_start(asked)) == {((), "CNY"): (236, 9)}
    assert await stood(connection, TEN_DAYS.at_end(asked)) == {((), "CNY"): (330, 6), ((), "USD"): (7, 1)}
    found = await moved(connection, asked, TEN_DAYS)
    assert {
        key[1:]: tuple(change[name] for name in ("minor", "count", "changes")) for key, change in found.items()
    } == {
        ("new", "CNY"): (109, 2, 2),
        ("up", "CNY"): (33, 0, 2),
        ("down", "CNY"): (-35, -1, 2),
        ("up", "USD"): (7, 1, 1),
        ("pulled_in", "CNY"): (70, 1, 1),
        ("moved_in", "CNY"): (46, 2, 2),
        ("pushed_out", "CNY"): (-60, -1, 1),
        ("moved_out", "CNY"): (-38, -2, 2),
        ("reopened", "CNY"): (20, 1, 1),
        ("lost", "CNY"): (-25, -3, 3),
        ("abandoned", "CNY"): (-11, -1, 1),
        ("won", "CNY"): (-15, -1, 1),
    }


async def test_by_the_present_owner_a_handover_is_no_move(ask: Ask) -> None:
    connection = await ask(every_bar())
    asked = view(replace(OF_THE_FIRST, closing=None), belonging="now")
    assert not {key[1] for key in await moved(connection, asked, TEN_DAYS)} & {"moved_in", "moved_out"}


async def test_a_part_moves_to_another_what_is_handed_over(ask: Ask) -> None:
    connection = await ask(every_bar())
    found = await moved(connection, view(belonging="then"), TEN_DAYS, "owner")
    over = {key: change["minor"] for key, change in found.items() if key[1] in ("moved_in", "moved_out")}
    assert over == {
        ((OWNERS[1],), "moved_in", "CNY"): 46, ((OWNERS[2],), "moved_out", "CNY"): -46,
        ((OWNERS[1],), "moved_out", "CNY"): -38, ((OWNERS[2],), "moved_in", "CNY"): 38,
    }  # fmt: skip


async def test_what_was_learned_late_counts_when_it_was_so_and_when_it_was_learned(ask: Ask) -> None:
    ledger = company()
    deal(ledger, 1, CNY(50))
    [raised] = decide(evolve(INITIAL, ledger.records[-1]), terms.ChangeAmount(amount=CNY(80)), circumstances(day(5)))
    ledger.opportunity(1, (raised, day(5), day(20)))
    connection = await ask(ledger)

    async def up(between: Between) -> int:
        found = await moved(connection, view(), between)
        return found.get(((), "up", "CNY"), Counter())["minor"]

    assert await up(Between("business", day(4), day(6))) == 30
    assert await up(Between("business", day(4), day(6), known_at=day(19))) == 0
    assert await up(Between("knowledge", day(4), day(6))) == 0
    assert await up(Between("knowledge", day(19), day(20))) == 30
    assert await up(Between("knowledge", day(20), None)) == 0


async def test_a_step_at_the_opening_is_over_and_one_at_the_closing_counts(ask: Ask) -> None:
    ledger = company()
    deal(ledger, 1, CNY(50), born=3)
    connection = await ask(ledger)
    assert await moved(connection, view(), Between("business", day(3), day(4))) == {}
    assert list(await moved(connection, view(), Between("business", day(2), day(3)))) == [((), "new", "CNY")]


async def test_steps_are_what_a_bar_adds_up_page_by_page_with_the_events_behind(ask: Ask) -> None:
    connection = await ask(every_bar())
    asked = view(OF_THE_FIRST, belonging="then")
    sums = await moved(connection, asked, TEN_DAYS)
    for (_, bar, currency), change in sums.items():
        chosen = Chosen(bar, (currency,))
        listed = await steps(connection, asked, TEN_DAYS, chosen, 100)
        assert len(listed) == change["changes"] == await count_steps(connection, asked, TEN_DAYS, chosen)
        assert (sum(row["minor"] for row in listed), sum(row["count"] for row in listed)) == (
            change["minor"],
            change["count"],
        )
    everything = await steps(connection, asked, TEN_DAYS, Chosen(), 100)
    paged: list[Any] = []
    after = None
    while page := await steps(connection, asked, TEN_DAYS, Chosen(), 3, after):
        paged += page
        after = AfterStep(page[-1]["at"], page[-1]["opportunity_id"], page[-1]["place"])
    assert paged == everything
    behind = await facts_behind(connection, TEN_DAYS, everything)
    won = next(row for row in everything if row["bar"] == "won")
    assert [one["type_name"] for one in behind[won["opportunity_id"], won["at"]]] == ["opportunity.won"]
    assert all(behind[row["opportunity_id"], row["at"]] for row in everything)


async def test_only_what_one_may_see_now_is_told(ask: Ask) -> None:
    connection = await ask(every_bar())
    owner = OWNERS[2]
    assert owner is not None
    scope = Scope(False, frozenset({owner}), frozenset())
    listed = await steps(connection, view(scope=scope, belonging="then"), TEN_DAYS, Chosen(), 100)
    assert {row["opportunity_id"] for row in listed} == {entity(14)}
    everything = await moved(connection, view(scope=Scope(False), belonging="then"), TEN_DAYS)
    assert everything == {}


def test_every_bar_has_its_sign() -> None:
    assert set(SIGNS) == set(get_args(Bar))
    assert OPEN == ("open", "paused")
