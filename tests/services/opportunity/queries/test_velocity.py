"""How fast the funnel earns, and what must enter it at the top (R3)."""

from datetime import datetime
from typing import Any

from services.opportunity.domain.opportunity.outcome import Lose, Win
from services.opportunity.domain.opportunity.progress import AssertProgress
from services.opportunity.queries.velocity import Velocity, required_at_top, velocity
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


async def test_velocity_shows_its_components_by_currency(ask: Ask) -> None:
    found = await velocity(await ask(market()), view(), FROM, BEFORE)
    # 3 open × 200 on average × 2 of 3 won ÷ 30 days
    assert found[0] == Velocity("CNY", 3, 2, 3, 400, 2 / 3, 200, 30.0, round(3 * 200 * 2 / 3 / 30))
    assert found[1] == Velocity("USD", 0, 0, 1, 0, 0.0, None, None, None)
    assert found[2] == Velocity(None, 1, 0, 0, 0, None, None, None, None)


async def test_velocity_counts_what_ended_within_the_period_and_the_view(ask: Ask) -> None:
    connection = await ask(market())
    [only, *_] = await velocity(connection, view(), day(40), BEFORE)
    assert (only.won_count, only.ended_count, only.won_minor, only.cycle_days) == (1, 1, 300, 40.0)
    [until, *_] = await velocity(connection, view(), FROM, day(41))
    assert (until.won_count, until.won_minor) == (1, 100)
    [earlier, *_] = await velocity(connection, view(as_of=day(25)), FROM, BEFORE)
    assert (earlier.open_count, earlier.won_count) == (5, 1)
    [mine] = await velocity(connection, view(Filters(owner=(OWNERS[1],))), FROM, BEFORE)
    assert (mine.won_count, mine.minor_per_day) == (1, 0)


async def test_what_is_won_on_the_day_it_was_opened_has_no_velocity(ask: Ask) -> None:
    ledger = company()
    deal(ledger, 1, cny(100), (WIN, day(1)))
    [found] = await velocity(await ask(ledger), view(), FROM, BEFORE)
    assert (found.won_count, found.cycle_days, found.minor_per_day) == (1, 0.0, None)


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
        "no opportunity of the cohort has ended yet",
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
