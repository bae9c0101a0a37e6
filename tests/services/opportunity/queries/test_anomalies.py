"""What is abnormal in a whole company, and since when: the database says what the facts say."""

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.opportunity.domain.anomalies.opportunity import DEAL_ANOMALIES, Stretch, anomalies_of
from services.opportunity.queries.anomalies import After, SortBy, anomalies, limits_of, page_of_all
from services.opportunity.queries.view import Filters, View
from shared.contracts.account import ManagerAppointed, PersonJoined, PersonLeft, TeamMemberJoined, TeamMemberLeft
from shared.contracts.opportunity import (
    AnomalyLimitsDefined,
    CloseDatePulledIn,
    CloseDatePushedOut,
    OpportunityLost,
    OpportunityOpened,
    OwnerAssigned,
    StageLimit,
    TeamAssigned,
)
from shared.kit.calendar import BusinessCalendar
from shared.kit.money import Money
from shared.service.visibility import Scope
from shared.testing.given import START
from tests.services.opportunity.judged import LIMITS
from tests.services.opportunity.queries.conftest import Ask
from tests.services.opportunity.queries.world import (
    NOW,
    OWNERS,
    PROCESSES,
    TEAMS,
    company,
    day,
    lives,
    random_company,
    view,
)
from tests.services.opportunity.records import Ledger, entity

CALENDAR = BusinessCalendar()
TIGHT = AnomalyLimitsDefined(
    key="default", version=1, pushed_out=1, out_of_sync_by=1, early_below=60, near_close_days=40, pile_up_count=2,
    pile_up_share=40, nothing_new_days=20, big=(Money(minor=300, currency="CNY"), Money(minor=50, currency="USD")),
    stages=(StageLimit(process="short", stage="stage_1", days=5), StageLimit(process="default", stage="prospecting", days=9)),
    other_stages_days=25,
)  # fmt: skip


def expected(
    ledger: Ledger, limits: AnomalyLimitsDefined, as_of: datetime | None, known_at: datetime | None
) -> set[tuple[Any, ...]]:
    found = set()
    for opportunity_id, moments in lives(ledger, as_of, known_at).items():
        history = [Stretch(one.start, one.state) for one in moments]
        process = PROCESSES[moments[-1].state.process]
        for one in anomalies_of(history, process, limits, as_of or NOW, CALENDAR):
            found.add((one.code, opportunity_id, one.since, one.value, one.limit))
    return found


def dated_company(seed: int) -> Ledger:
    """A random company whose close dates are put off and pulled in, some of it learned late."""
    ledger, chance = random_company(seed), random.Random(seed)
    opened = {one.stream_id: one.occurred_at for one in ledger.records if isinstance(one.event, OpportunityOpened)}
    for stream_id, born in opened.items():
        closing = day(chance.randrange(200)).date()
        for at in sorted(born + timedelta(hours=chance.randrange(2_000)) for _ in range(3)):
            other = closing + timedelta(days=chance.randrange(1, 90) * chance.choice([1, 1, -1]))
            moved = CloseDatePushedOut if other > closing else CloseDatePulledIn
            ledger.write(stream_id, moved(close_date=other, former=closing), at)
            closing = other
    return ledger


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limits", [LIMITS, TIGHT])
async def test_the_database_says_of_every_opportunity_what_its_history_says(
    ask: Ask, seed: int, limits: AnomalyLimitsDefined
) -> None:
    ledger = dated_company(seed)
    connection = await ask(ledger)
    deals = [one for one in ledger.records if one.stream_id.startswith("opportunity-")]
    fact, other = deals[len(deals) // 2], deals[len(deals) // 3]
    codes = set[str]()
    for as_of in (None, fact.occurred_at, other.occurred_at, day(40), day(80)):
        for known_at in (None, fact.recorded_at, day(120)):
            asked = view(as_of=as_of, known_at=known_at)
            rows = await anomalies(connection, asked, limits, codes=DEAL_ANOMALIES)
            found = {tuple(row[name] for name in ("code", "opportunity_id", "since", "value", "limit")) for row in rows}
            assert found == expected(ledger, limits, as_of, known_at), (as_of, known_at)
            assert [row["since"] for row in rows] == sorted(row["since"] for row in rows)
            codes |= {row["code"] for row in rows}
    assert limits is LIMITS or codes == set(DEAL_ANOMALIES)


def piles(ledger: Ledger, limits: AnomalyLimitsDefined, at: datetime) -> dict[tuple[str, str, int], int]:
    """(owner, process, stage) → how many pile up there at a moment."""
    stands: dict[tuple[str, str, int], int] = {}
    totals: dict[str, int] = {}
    for moments in lives(ledger, at, None).values():
        state = moments[-1].state
        if state.outcome == "open" and state.owner_id is not None:
            key = (state.owner_id, state.process, int(moments[-1].place("stage")))
            stands[key] = stands.get(key, 0) + 1
            totals[state.owner_id] = totals.get(state.owner_id, 0) + 1
    return {
        key: count
        for key, count in stands.items()
        if count >= limits.pile_up_count and 100 * count >= limits.pile_up_share * totals[key[0]]
    }


@pytest.mark.parametrize("seed", range(3))
async def test_opportunities_pile_up_since_the_moment_after_the_last_one_at_which_they_did_not(
    ask: Ask, seed: int
) -> None:
    ledger = random_company(seed)
    connection = await ask(ledger)
    times = sorted({one.occurred_at for one in ledger.records})
    for as_of in (day(60), day(120), None):
        rows = await anomalies(connection, view(as_of=as_of), TIGHT, codes=["piled_up"])
        past = [(at, piles(ledger, TIGHT, at)) for at in times if as_of is None or at <= as_of]
        assert {(row["owner_id"], row["process"], row["stage"]): row["value"] for row in rows} == past[-1][1]
        for row in rows:
            key = (row["owner_id"], row["process"], row["stage"])
            normal = [at for at, there in past if key not in there]
            assert row["since"] == min(at for at, _ in past if not normal or at > normal[-1])


FANG, LI = (str(owner) for owner in OWNERS[1:])
EAST, WEST = (str(team) for team in TEAMS[1:])
NEVER_NEW = LIMITS.model_copy(
    update={"nothing_new_days": 2, "pile_up_count": 100, "out_of_sync_by": 9, "other_stages_days": None, "stages": ()}
)
QUIET = LIMITS.model_copy(update={"nothing_new_days": 20, "pile_up_count": 100, "out_of_sync_by": 9, "stages": ()})


def sold(*deals: tuple[str | None, float]) -> Ledger:
    """A company where these people opened opportunities on these days."""
    ledger = company()
    for number, (owner, at) in enumerate(deals, 1):
        event = OpportunityOpened(name=f"Deal {number}", process="short", process_version=1, owner_id=owner)
        ledger.opportunity(number, (event, day(at)))
    return ledger


async def told(connection: Any, asked: View, limits: AnomalyLimitsDefined = QUIET) -> list[tuple[Any, ...]]:
    rows = await anomalies(connection, asked, limits)
    return [(row["code"], row["owner_id"], row["since"], row["value"]) for row in rows]


def morning(number: int) -> datetime:
    return CALENDAR.start_of_day(CALENDAR.day_of(START) + timedelta(days=number))


async def test_who_opens_nothing_is_told_from_the_day_after_the_limit_on(ask: Ask) -> None:
    connection = await ask(sold((FANG, 1), (FANG, 5), (LI, 3), (None, 1)))
    assert await told(connection, view(as_of=day(23))) == []
    assert await told(connection, view(as_of=day(24))) == [("nothing_new", LI, morning(24), 21)]
    assert [one[1] for one in await told(connection, view(as_of=day(40)))] == [LI, FANG]
    assert [one[1] for one in await told(connection, view())] == [LI, FANG]


async def test_what_is_handed_over_is_not_new(ask: Ask) -> None:
    ledger = sold((FANG, 1))
    ledger.opportunity(1, (OwnerAssigned(owner_id=LI, former_id=FANG), day(30)))
    connection = await ask(ledger)
    assert await told(connection, view(as_of=day(60))) == [("nothing_new", LI, morning(51), 30)]


async def test_who_has_nothing_any_more_is_told_while_in_a_team(ask: Ask) -> None:
    ledger = sold((FANG, 1), (LI, 1))
    for number in (1, 2):
        ledger.opportunity(number, (OpportunityLost(reason="price"), day(2)))
    ledger.write(f"team-{EAST}", TeamMemberJoined(person_id=FANG), day(3))
    ledger.write(f"team-{EAST}", TeamMemberLeft(person_id=FANG), day(50))
    connection = await ask(ledger)
    assert [one[1] for one in await told(connection, view(as_of=day(40)))] == [FANG]
    assert await told(connection, view(as_of=day(60))) == []


async def test_who_never_had_any_is_told_since_they_joined_a_team_that_sells(ask: Ask) -> None:
    ledger = sold((FANG, 1))
    lead, idle = entity(0xA7), entity(0xA8)
    for person, name in ((lead, "Leads"), (idle, "Keeps the books")):
        ledger.write(f"person-{person}", PersonJoined(name=name), START)
    ledger.write(f"team-{EAST}", ManagerAppointed(person_id=lead), day(1))
    for person in (FANG, LI):
        ledger.write(f"team-{EAST}", TeamMemberJoined(person_id=person), day(3))
    ledger.write(f"team-{WEST}", TeamMemberJoined(person_id=idle), day(3))
    connection = await ask(ledger)
    fang, li = ("nothing_new", FANG, morning(22)), ("nothing_new", LI, morning(24))
    assert await told(connection, view(as_of=day(23))) == [(*fang, 22)]
    assert await told(connection, view(as_of=day(24))) == [(*fang, 23), (*li, 21)]
    assert await told(connection, view(Filters(team=(EAST,)), as_of=day(24))) == [(*fang, 23), (*li, 21)]
    mine = Scope(False, frozenset({LI}))
    assert await told(connection, view(scope=mine, as_of=day(24))) == [(*li, 21)]


async def test_a_team_sells_that_has_or_had_an_opportunity(ask: Ask) -> None:
    ledger = company()
    opened = OpportunityOpened(name="Deal", process="short", process_version=1, team_id=EAST)
    ledger.opportunity(1, (opened, day(10)), (TeamAssigned(team_id=None, former_id=EAST), day(12)))
    ledger.write(f"team-{EAST}", TeamMemberJoined(person_id=FANG), day(3))
    ledger.write(f"team-{EAST}", TeamMemberLeft(person_id=FANG), day(50))
    connection = await ask(ledger)
    times = (day(9), day(11), day(30), day(60))
    found = [[one[1] for one in await told(connection, view(as_of=at), NEVER_NEW)] for at in times]
    assert found == [[], [FANG], [FANG], []]


async def test_who_has_left_is_not_told(ask: Ask) -> None:
    ledger = sold((FANG, 1), (LI, 1))
    ledger.write(f"person-{FANG}", PersonLeft(), day(40))
    connection = await ask(ledger)
    assert [one[1] for one in await told(connection, view())] == [LI]


async def test_filters_choose_people_or_leave_them_out(ask: Ask) -> None:
    ledger = sold((FANG, 1), (LI, 1))
    ledger.write(f"team-{EAST}", TeamMemberJoined(person_id=FANG), day(3))
    connection = await ask(ledger)

    async def people(**filters: Any) -> list[str]:
        return [one[1] for one in await told(connection, view(Filters(**filters), as_of=day(40)))]

    assert await people(owner=(LI,)) == [LI]
    assert await people(team=(EAST,)) == [FANG]
    assert await people(team=(EAST, None)) == [FANG, LI]
    assert await people(team=(WEST,)) == []
    assert await people(stage=(1,)) == []


async def test_only_opportunities_and_people_that_one_sees_are_told(ask: Ask) -> None:
    connection = await ask(sold((FANG, 1), (LI, 2)))
    limits = LIMITS.model_copy(update={"nothing_new_days": 20})

    async def seen(scope: Scope) -> set[tuple[Any, ...]]:
        rows = await told(connection, view(scope=scope, as_of=day(60)), limits)
        return {(code, owner) for code, owner, _, _ in rows}

    assert await seen(Scope(False, frozenset({FANG}))) == {("stalled", FANG), ("nothing_new", FANG)}
    assert await seen(Scope(False)) == set()
    assert len(await seen(Scope(True))) == 4


async def test_pages_follow_each_other_and_counts_count_them_all(ask: Ask) -> None:
    connection = await ask(dated_company(1))
    asked = view(as_of=day(120))
    sorts: tuple[SortBy, ...] = ("since", "-since")
    for sort in sorts:
        rows = await anomalies(connection, asked, TIGHT, sort=sort)
        paged, after, page = list[Any](), None, None
        while page is None or page:
            page, counts = await page_of_all(connection, asked, TIGHT, sort=sort, limit=7, after=after)
            assert counts == Counter(row["code"] for row in rows)
            paged += page
            after = After(page[-1]["since"], page[-1]["code"], page[-1]["about"]) if page else None
        assert [tuple(row[name] for name in row if name != "counts") for row in paged] == [
            tuple(row.values()) for row in rows
        ]
    won = view(Filters(outcome=("won",)))
    assert await anomalies(connection, won, TIGHT, codes=["stalled"]) == []
    assert await page_of_all(connection, won, TIGHT) == ([], {})
    assert await page_of_all(connection, view(as_of=day(-9)), TIGHT) == ([], {})
    assert await limits_of(connection) is None
