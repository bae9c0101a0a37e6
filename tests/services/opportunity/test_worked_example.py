"""The worked example of deal control (R2, R3): three salespeople and twenty-eight opportunities, all the way from commands."""

from collections import Counter
from datetime import timedelta
from typing import Any

from services.opportunity.domain.opportunity.progress import AssertProgress, ReachMilestone
from services.opportunity.queries.funnel import counts
from services.opportunity.queries.pipeline import pipeline
from services.opportunity.queries.view import Filters
from shared.contracts.opportunity import OpportunityOpened
from tests.services.opportunity.deals import DEFAULT, SEEN
from tests.services.opportunity.queries.conftest import folded
from tests.services.opportunity.queries.world import company, day, view
from tests.services.opportunity.records import Ledger, entity

STANDING = (6, 5, 5, 4, 3, 2, 2, 1)  # opportunities in stage 1, 2 … 8
SALESPEOPLE = tuple(entity(0xD1 + number) for number in range(3))


def example() -> Ledger:
    """Every opportunity has the stages before its own completed and the milestones of its own reached."""
    ledger, number = company(), 0
    for stage, many in zip(DEFAULT.selling, STANDING, strict=True):
        for _ in range(many):
            number += 1
            owner = SALESPEOPLE[number % 3]
            opened = OpportunityOpened(name=f"Deal {number}", process="default", process_version=1, owner_id=owner)
            ledger.opportunity(number, (opened, day(1)))
            steps: list[Any] = [ReachMilestone(milestone=one.code, evidence=SEEN) for one in stage.milestones]
            if stage.number > 1:
                steps.insert(0, AssertProgress(completed_stage=stage.number - 1, note="Where the example has it"))
            ledger.decide(number, steps, [day(2) + timedelta(hours=n) for n in range(len(steps))], DEFAULT)
    return ledger


async def test_twenty_eight_opportunities_promise_between_6_80_and_9_85_wins(database: str) -> None:
    async with folded(database, example()) as connection:
        stands = await pipeline(connection, view(), ["stage"])
        assert tuple(group.all["count"] for group in stands.groups) == STANDING
        assert (stands.total.all["count"], stands.total.all["in_sync"]) == (28, 28)
        assert (stands.total.all["low"], stands.total.all["high"]) == (680, 985)  # per cent: 6.80 and 9.85 wins


async def test_they_make_a_funnel_of_eleven_twelve_and_five(database: str) -> None:
    async with folded(database, example()) as connection:
        funnel = await counts(connection, view(), ["state"])
        assert [(row["state"], row["count"]) for row in funnel] == [("searching", 11), ("in_funnel", 12), ("best", 5)]


async def test_each_salesperson_has_a_part_of_it_and_the_parts_add_up(database: str) -> None:
    async with folded(database, example()) as connection:
        parts = await pipeline(connection, view(), ["owner"])
        assert Counter({group.all["owner"]: group.all["count"] for group in parts.groups}) == {
            SALESPEOPLE[0]: 9, SALESPEOPLE[1]: 10, SALESPEOPLE[2]: 9,
        }  # fmt: skip
        assert sum(group.all["low"] for group in parts.groups) == 680
        alone = await pipeline(connection, view(Filters(owner=(SALESPEOPLE[0],))), ["owner"])
        assert alone.total.all["count"] == 9


async def test_the_day_before_nothing_was_entered_and_nothing_promised(database: str) -> None:
    async with folded(database, example()) as connection:
        stands = await pipeline(connection, view(as_of=day(1.5)), ["stage"])
        assert (stands.total.all["count"], stands.total.all["low"], stands.total.all["high"]) == (28, 0, 0)
        assert (await pipeline(connection, view(as_of=day(0.5)), ["stage"])).groups == ()
