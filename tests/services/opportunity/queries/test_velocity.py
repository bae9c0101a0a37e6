"""How fast the funnel earns, and what must enter it at the top (R3)."""

from datetime import datetime
from typing import Any

from services.opportunity.domain.opportunity.outcome import Lose, Win
from services.opportunity.domain.opportunity.progress import AssertProgress
from services.opportunity.queries.velocity import Earning, Velocity, required_at_top, velocity
from services.opportunity.queries.view import Filters
from shared.contracts.opportunity import OpportunityOpened
from shared.kit.money import Money
from tests.services.opportunity.deals import SEEN
from tests.services.opportunity.queries.conftest import Ask
from tests.services.opportunity.queries.world import OWNERS, company, day, view
from tests.services.opportunity.records import Ledger

FROM, BEFORE = day(0), day(100)


def cny(minor: int) -> Money:
    return Money(minor=minor, currency="CNY")


def deal(
    ledger: Ledger, number: int, amount: Money | None, *ends: tuple[Any, datetime], owner: str | None = None
) -> None:
    """Opened on day 1; won deals have all stages asserted when they are won."""
    event = OpportunityOpened(name="x", process="short", process_version=1, amount=amount, owner_id=owner)
    ledger.opportunity(number, (event, day(1)))
    for command, at in ends:
        due = [AssertProgress(completed_stage=3, note="n"), command] if isinstance(command, Win) else [command]
        ledger.decide(number, due, [at] * len(due))


WIN, LOSE = Win(evidence=SEEN), Lose(reason="price")


def market() -> Ledger:
    """Two won in 20 and 40 days for 100 and 300, one lost, three open; one lost in dollars, one open without amount."""
    ledger = company()
    deal(ledger, 1, cny(100), (WIN, day(21)), owner=OWNERS[1])
    deal(ledger, 2, cny(300), (WIN, day(41)))
    deal(ledger, 3, cny(50), (LOSE, day(30)))
    for number in (4, 5, 6):
        deal(ledger, number, cny(10))
    deal(ledger, 7, Money(minor=9, currency="USD"), (LOSE, day(30)))
    deal(ledger, 8, None)
    return ledger


async def test_velocity_shows_its_components(ask: Ask) -> None:
    found = await velocity(await ask(market()), view(), FROM, BEFORE)
    # 4 open × 2 of 4 won × 200 on average ÷ 30 days
    earning = Earning("CNY", 2, 400, 200, 1.0, round(4 * 200 * 2 / 4 / 30))
    assert found == Velocity(4, 1, 4, 2, 0, 0.5, 30.0, None, [earning])


async def test_losses_without_an_amount_count_as_losses(ask: Ask) -> None:
    """An export tells the amount of what was won, and not of what was lost."""
    ledger = company()
    for number in range(1, 6):
        deal(ledger, number, None, (Win(amount=Money(minor=60, currency="USD"), evidence=SEEN), day(11)))
    for number in range(6, 9):
        deal(ledger, number, None, (LOSE, day(11)))
    deal(ledger, 9, None)
    connection = await ask(ledger)
    found = await velocity(connection, view(), FROM, BEFORE)
    assert (found.won_count, found.ended_count, found.win_rate, found.won_without_amount) == (5, 8, 5 / 8, 0)
    assert (found.open_count, found.open_without_amount) == (1, 1)
    assert found.earnings == [Earning("USD", 5, 300, 60, 1.0, round(1 * 60 * 5 / 8 / 10))]
    required = await required_at_top(connection, view(), Money(minor=600, currency="USD"), FROM, BEFORE)
    assert (required.conversion, required.wins_needed, required.entries_needed) == (5 / 8, 10, 16)


async def test_several_currencies_share_what_is_open(ask: Ask) -> None:
    ledger = market()
    deal(ledger, 9, Money(minor=900, currency="USD"), (WIN, day(31)))
    deal(ledger, 10, None, (WIN, day(31)))
    found = await velocity(await ask(ledger), view(), FROM, BEFORE)
    assert (found.won_count, found.won_without_amount, found.ended_count, found.cycle_days) == (4, 1, 6, 30.0)
    # 4 open, 4 of 6 won: of three wins with an amount two were of 200 CNY on average, one of 900 USD
    won_a_day = 4 * 4 / 6 / 30
    assert found.earnings == [
        Earning("CNY", 2, 400, 200, 2 / 3, round(won_a_day * 2 / 3 * 200)),
        Earning("USD", 1, 900, 900, 1 / 3, round(won_a_day * 1 / 3 * 900)),
    ]


async def test_velocity_counts_what_ended_within_the_period_and_the_view(ask: Ask) -> None:
    connection = await ask(market())
    later = await velocity(connection, view(), day(40), BEFORE)
    assert (later.won_count, later.ended_count, later.earnings[0].won_minor, later.cycle_days) == (1, 1, 300, 40.0)
    until = await velocity(connection, view(), FROM, day(41))
    assert (until.won_count, until.earnings[0].won_minor) == (1, 100)
    earlier = await velocity(connection, view(as_of=day(25)), FROM, BEFORE)
    assert (earlier.open_count, earlier.won_count) == (7, 1)
    mine = await velocity(connection, view(Filters(owner=(OWNERS[1],))), FROM, BEFORE)
    assert (mine.won_count, mine.earnings[0].minor_per_day) == (1, 0)


async def test_what_is_lacking_for_the_velocity_is_said(ask: Ask) -> None:
    connection = await ask(market())
    nothing = await velocity(connection, view(), day(200), day(300))
    assert (nothing.win_rate, nothing.earnings, nothing.lacking) == (None, [], "no opportunity ended in the period")
    lost = await velocity(connection, view(Filters(currency=("USD",))), FROM, BEFORE)
    assert (lost.win_rate, lost.lacking) == (0.0, "no opportunity was won in the period")


async def test_without_an_amount_the_win_rate_is_known_all_the_same(ask: Ask) -> None:
    ledger = company()
    deal(ledger, 1, None, (WIN, day(11)))
    unknown = await velocity(await ask(ledger), view(), FROM, BEFORE)
    assert (unknown.win_rate, unknown.won_without_amount) == (1.0, 1)
    assert unknown.lacking == "none that was won in the period has an amount"


async def test_what_is_won_on_the_day_it_was_opened_has_no_velocity(ask: Ask) -> None:
    ledger = company()
    deal(ledger, 1, cny(100), (WIN, day(1)))
    found = await velocity(await ask(ledger), view(), FROM, BEFORE)
    assert (found.won_count, found.cycle_days, found.earnings[0].minor_per_day) == (1, 0.0, None)
    assert found.lacking == "what was won was won at the moment it was opened, so it took no time"


async def test_what_is_required_at_the_top_follows_from_the_cohort(ask: Ask) -> None:
    found = await required_at_top(await ask(market()), view(), cny(1_000), FROM, BEFORE)
    assert (found.entered, found.won, found.still_open, found.conversion) == (8, 2, 4, 0.5)
    assert (found.average_won_minor, found.average_entered_minor, found.days_to_win_median) == (200, 80, 30.0)
    # 1,000 are five wins of 200; half of those that end are won; each enters with 80 on average
    assert (found.wins_needed, found.entries_needed, found.amount_needed_minor, found.lacking) == (5, 10, 800, None)


async def test_what_is_lacking_for_the_requirement_is_said(ask: Ask) -> None:
    connection = await ask(market())
    nothing = await required_at_top(connection, view(), cny(1_000), day(200), day(300))
    assert (nothing.entered, nothing.entries_needed, nothing.lacking) == (
        0,
        None,
        "no opportunity entered the top of the funnel, searching, in the period",
    )
    usd = Money(minor=5, currency="USD")
    other = await required_at_top(connection, view(), usd, FROM, BEFORE)
    assert (other.conversion, other.entries_needed, other.lacking) == (
        0.5,
        None,
        "none that was won has an amount in USD",
    )
    lost = await required_at_top(connection, view(as_of=day(20)), cny(1_000), FROM, BEFORE)
    assert lost.lacking == "no opportunity of the cohort has ended yet"
    losers = await required_at_top(connection, view(Filters(currency=("USD",))), usd, FROM, BEFORE)
    assert (losers.conversion, losers.lacking) == (0.0, "no opportunity of the cohort was won")
