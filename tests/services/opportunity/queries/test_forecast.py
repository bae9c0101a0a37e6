"""The forecast's figures: what the facts say, told without SQL, and small examples computed by hand."""

import random
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from services.opportunity.domain.forecast.category import category
from services.opportunity.domain.forecast.submission import Holder, SubmitForecast, decide_submit
from services.opportunity.domain.opportunity.page import position
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.queries.forecast import expectation
from services.opportunity.queries.snapshot import snapshot
from services.opportunity.queries.submission_lines import by_stage
from services.opportunity.queries.submissions import (
    SubmissionFilters,
    one_submission,
    submissions,
    won_within,
)
from services.opportunity.queries.targets import TargetFilters, targets
from services.opportunity.queries.view import Filters
from shared.contracts.opportunity import (
    CloseDateSet,
    ForecastCategorised,
    ForecastJudged,
    ForecastLine,
    ForecastSubmitted,
    OpportunityLost,
    OpportunityOpened,
    OpportunityReopened,
    OpportunityWon,
    OwnerAssigned,
    TargetSet,
)
from shared.kit.calendar import BusinessCalendar, Period
from shared.kit.money import Money
from shared.service.visibility import EVERYTHING, NOTHING, Scope
from tests.services.opportunity.deals import SEEN
from tests.services.opportunity.queries.conftest import Ask
from tests.services.opportunity.queries.test_pipeline import BY_STAGE, entered
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
QUARTERS = [CALENDAR.parse(label) for label in ("2017-Q1", "2017-Q2")]
ANN, BOB = OWNERS[1], OWNERS[2]
CNY = Money(minor=1001, currency="CNY")


def expected_company(seed: int) -> Ledger:
    """A random company with close dates, categories and judgements."""
    ledger, chance = random_company(seed), random.Random(seed)
    opened = {one.stream_id: one.occurred_at for one in ledger.records if isinstance(one.event, OpportunityOpened)}
    for stream_id, born in opened.items():
        for event in (
            CloseDateSet(close_date=day(chance.randrange(250)).date()),
            ForecastCategorised(category=chance.choice([None, "commit", "omitted"])),
            ForecastJudged(judged_by="mei", close_date=day(chance.randrange(250)).date()),
            ForecastJudged(judged_by="mei", amount=Money(minor=chance.randrange(900), currency="CNY")),
        ):
            if chance.random() < 0.6:
                ledger.write(stream_id, event, born + timedelta(hours=chance.randrange(3_000)))
    return ledger


def slot_of(state: OpportunityState, today: date) -> str | None:
    def within(found: Any, of: Any) -> str | None:
        return next((one.label for one in QUARTERS if found(one, of)), None)

    if state.outcome == "won":
        return within(Period.contains, state.outcome_since)
    if state.close_date is None:
        return "undated"
    if state.close_date < today:
        return "overdue"
    return within(lambda one, on: one.first_day <= on <= one.last_day, state.close_date)


def true_figures(ledger: Ledger, as_of: datetime | None, known_at: datetime | None) -> Counter[Any]:
    """(slot, owner, currency, category, measure) → sum."""
    found, today = Counter[Any](), CALENDAR.day_of(as_of or NOW)
    for moments in lives(ledger, as_of, known_at).values():
        state = moments[-1].state
        where = position(state, PROCESSES[state.process])
        slot, of = slot_of(state, today), category(state, where.funnel_state)
        if slot is None or of is None:
            continue
        minor, low, high = state.amount.minor if state.amount else 0, where.probability_low, where.probability_high
        key = (slot, state.owner_id, state.amount and state.amount.currency, of)
        found[*key, "count"] += 1
        found[*key, "amount_minor"] += minor
        found[*key, "low_minor"] += (low * minor + 50) // 100
        found[*key, "high_minor"] += (high * minor + 50) // 100
        found[*key, "weighted_minor"] += ((low + high) * minor + 100) // 200
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_every_opportunity_counts_once_where_the_facts_put_it(ask: Ask, seed: int) -> None:
    connection = await ask(ledger := expected_company(seed))
    slots = set[str]()
    for as_of, known_at in ((None, None), (day(30), None), (day(60), None), (day(95), None), (day(120), day(100))):
        shown = await expectation(
            connection, view(as_of=as_of, known_at=known_at, belonging="then"), ["owner"], QUARTERS
        )
        told = Counter[Any]()
        for row in shown.figures:
            for name in ("count", "amount_minor", "low_minor", "high_minor", "weighted_minor"):
                told[row["slot"], row["owner"], row["currency"], row["category"], name] = row[name]
            slots.add(row["slot"])
        true = true_figures(ledger, as_of, known_at)
        # Whose it is in the truth is whose it is at the moment: that of what has ended may have been another's when it ended.
        assert _without_owner(told) == _without_owner(true)
        if as_of is None:
            still_open = {key: value for key, value in true.items() if key[3] != "closed" and value}
            assert {key: value for key, value in told.items() if key[3] != "closed" and value} == still_open
    assert slots > {"overdue", "undated"}


def _without_owner(figures: Counter[Any]) -> dict[Any, int]:
    found = Counter[Any]()
    for (slot, _, *rest), value in figures.items():
        found[slot, *rest] += value
    return {key: value for key, value in found.items() if value}


async def test_a_judgement_counts_in_the_period_that_the_manager_expects(ask: Ask) -> None:
    ledger = company()
    opened = OpportunityOpened(name="x", process="short", process_version=1, amount=CNY, close_date=date(2017, 3, 1))
    slips = ForecastJudged(judged_by="mei", close_date=date(2017, 4, 1))
    smaller = ForecastJudged(judged_by="mei", amount=Money(minor=10, currency="CNY"))
    ledger.opportunity(1, (opened, day(1)), (slips, day(2)))
    ledger.opportunity(2, (opened, day(1)), (smaller, day(2)))
    ledger.opportunity(3, (opened, day(1)), (ForecastJudged(judged_by="mei", note="Only a note"), day(2)))
    ledger.opportunity(4, (opened, day(1)), (slips, day(2)), (ForecastJudged(judged_by="mei"), day(3)))
    ledger.opportunity(5, (opened, day(1)), (slips, day(2)), (OpportunityLost(reason="price"), day(3)))
    ledger.opportunity(6, (opened, day(1)), (slips, day(2)), (ForecastCategorised(category="omitted"), day(3)))
    connection = await ask(ledger)
    shown = await expectation(connection, view(as_of=day(4)), [], QUARTERS)
    judged = [tuple(row[name] for name in ("slot", "currency", "count", "amount_minor")) for row in shown.judged]
    assert judged == [("2017-Q1", "CNY", 1, 10), ("2017-Q2", "CNY", 1, 1001)]
    assert sum(row["amount_minor"] for row in shown.figures) == 5 * 1001
    nothing = await expectation(connection, view(as_of=day(4), scope=NOTHING), [], QUARTERS)
    assert (nothing.figures, nothing.judged) == ([], [])


async def test_a_submission_keeps_what_is_judged_into_its_period_beside_its_lines(ask: Ask) -> None:
    ledger = company()
    opened = OpportunityOpened(
        name="x", process="short", process_version=1, amount=CNY, close_date=date(2017, 3, 1), owner_id=ANN
    )
    pulled = ForecastJudged(judged_by="mei", close_date=date(2017, 3, 20))
    smaller = ForecastJudged(judged_by="mei", amount=Money(minor=10, currency="CNY"))
    ledger.opportunity(1, (opened, day(1)), (pulled, day(2)))
    later = opened.model_copy(update={"close_date": date(2017, 5, 1)})
    ledger.opportunity(2, (later, day(1)), (pulled, day(2)))
    overdue = opened.model_copy(update={"close_date": day(3).date()})
    ledger.opportunity(3, (overdue, day(1)), (smaller, day(2)))
    ledger.opportunity(4, (overdue, day(1)))
    ledger.opportunity(5, (later, day(1)), (pulled, day(2)), (OwnerAssigned(owner_id=BOB), day(3)))
    ledger.opportunity(6, (later, day(1)), (pulled, day(2)), (ForecastCategorised(category="omitted"), day(3)))
    asked = view(as_of=day(20))
    connection = await ask(ledger)
    kept = await snapshot(connection, asked, Holder("person", str(ANN)), QUARTERS[0])
    assert [[one.opportunity_id for one in some] for some in (kept.lines, kept.beside)] == [
        [entity(1)],
        [entity(3), entity(2)],
    ]
    [event] = decide_submit(SubmitForecast(period="2017-Q1"), Holder("person", str(ANN)), QUARTERS[0], kept, entity(9))
    assert isinstance(event, ForecastSubmitted)
    told = await expectation(connection, replace(asked, filters=Filters(owner=(ANN,))), [], QUARTERS[:1])
    [shown] = told.judged
    assert (event.judged[0].count, event.judged[0].minor) == (shown["count"], shown["amount_minor"])
    assert shown["amount_minor"] == 1001 + 1001 + 10


def target(minor: int, holder_id: str | None = ANN, kind: Any = "person") -> TargetSet:
    first = QUARTERS[0]
    return TargetSet(
        holder_kind=kind, holder_id=holder_id, period=first.label, first_day=first.first_day, last_day=first.last_day,
        amount=Money(minor=minor, currency="CNY"),
    )  # fmt: skip


async def test_the_latest_effective_target_counts_as_of_any_moment_by_what_was_known(ask: Ask) -> None:
    ledger, book = company(), f"target-person-{ANN}-2017-Q1"
    ledger.write(book, target(100), day(10), day(10))
    ledger.write(book, target(300), day(30), day(30))
    ledger.write(book, target(200), day(20), day(40))  # learned late
    ledger.write("target-company-2017-Q1", target(900, None, "company"), day(5), day(50))
    connection = await ask(ledger)

    async def counts(scope: Scope = EVERYTHING, history: bool = False, **clocks: Any) -> list[int]:
        filters = TargetFilters(holder_kind=("person",), history=history)
        return [row["minor"] for row in await targets(connection, scope, filters, **clocks)]

    assert await counts() == [300]
    assert [await counts(as_of=day(number)) for number in (9, 10, 25, 31)] == [[], [100], [200], [300]]
    assert await counts(as_of=day(25), known_at=day(39)) == [100]
    assert await counts(history=True) == [300, 200, 100]
    assert await counts(Scope(False, frozenset({str(BOB)}))) == []
    everybody = await targets(connection, NOTHING, TargetFilters())
    assert [row["holder_kind"] for row in everybody] == ["company"]


def submitted(number: int, *lines: ForecastLine, holder: str | None = ANN, teams: tuple[str, ...] = ()) -> Any:
    first = QUARTERS[0]
    return ForecastSubmitted(
        submission_id=entity(0xF00 + number), holder_kind="team" if teams else "person", holder_id=str(holder),
        teams=teams, period=first.label, first_day=first.first_day, last_day=first.last_day, lines=lines,
    )  # fmt: skip


def line(number: int, minor: int = 1001) -> ForecastLine:
    return ForecastLine(
        opportunity_id=entity(number), process="short", process_version=1, stage=2, category="best_case",
        amount=Money(minor=minor, currency="CNY"), low=20, high=60, close_date=date(2017, 3, 1),
    )  # fmt: skip


async def test_won_is_what_was_won_by_the_end_of_the_period_by_whose_it_was_then(ask: Ask) -> None:
    ledger, after = company(), CALENDAR.parse("2017-Q2").start + timedelta(days=3)
    opened = OpportunityOpened(name="x", process="short", process_version=1, amount=CNY, owner_id=ANN, team_id=TEAMS[1])
    won = OpportunityWon(evidence=SEEN)
    reopened = OpportunityReopened(reason="They sent it back")
    ledger.opportunity(1, (opened, day(1)), (won, day(20)))
    ledger.opportunity(2, (opened, day(1)), (won, day(20)), (reopened, after))  # it was won when the period ended
    ledger.opportunity(3, (opened, day(1)), (won, day(20)), (reopened, day(30)))  # it was not
    ledger.opportunity(4, (opened, day(1)), (won, after))  # too late
    ledger.opportunity(5, (opened, day(1)), (won, day(20)), (OwnerAssigned(owner_id=BOB), day(30)))  # won by ann
    ledger.opportunity(6, (opened, day(1)), (OwnerAssigned(owner_id=BOB), day(3)), (won, day(20)))  # won by bob
    ledger.opportunity(7, (opened, day(1)), (won, QUARTERS[0].end - timedelta(microseconds=1)))
    lines = [line(number) for number in range(1, 8)]
    ledger.write(f"forecast-person-{ANN}-2017-Q1", submitted(1, *lines), day(10))
    ledger.write(f"forecast-person-{ANN}-2017-Q1", submitted(2), day(9))
    team = str(TEAMS[1])
    ledger.write(f"forecast-team-{team}-2017-Q1", submitted(3, holder=team, teams=(team,)), day(8))
    connection = await ask(ledger)
    zone = SubmissionFilters(time_zone="Asia/Shanghai")
    found = await won_within(connection, EVERYTHING, zone)
    book = f"person-{ANN}-2017-Q1"
    assert found[book, 1] == found[book, 2] == {"CNY": 4 * 1001}
    assert found[f"team-{team}-2017-Q1", 1] == {"CNY": 5 * 1001}
    [stage] = await by_stage(connection, EVERYTHING, zone)
    figures = ("stage", "lines", "doubled", "won", "weighted_minor", "won_minor")
    assert [stage[name] for name in figures] == [2, 7, 560, 5, 7 * 400, 5 * 1001]
    standing = {row["submission_id"]: row["standing"] for row in await submissions(connection, EVERYTHING, zone)}
    assert standing == {entity(0xF01): True, entity(0xF02): False, entity(0xF03): True}


async def test_submissions_are_seen_by_those_who_see_all_that_is_in_them(ask: Ask) -> None:
    ledger, (one, other) = company(), [str(team) for team in TEAMS[1:]]
    ledger.write(f"forecast-person-{ANN}-2017-Q1", submitted(1), day(10))
    ledger.write(f"forecast-team-{one}-2017-Q1", submitted(2, holder=one, teams=(one, other)), day(11))
    connection = await ask(ledger)

    async def sees(*people: str | None, teams: tuple[str, ...] = ()) -> list[str]:
        scope = Scope(False, frozenset(str(person) for person in people), frozenset(teams))
        return [row["submission_id"] for row in await submissions(connection, scope, SubmissionFilters())]

    assert await sees(ANN) == [entity(0xF01)]
    assert await sees(BOB, teams=(one,)) == []
    assert await sees(BOB, teams=(one, other)) == [entity(0xF02)]
    assert await one_submission(connection, NOTHING, entity(0xF01)) == (True, None)
    assert await one_submission(connection, EVERYTHING, entity(0xF09)) == (False, None)


async def test_the_funnel_of_twenty_eight_makes_eleven_twelve_and_five(ask: Ask) -> None:
    ledger, number = company(), 0
    for stage, many in enumerate(BY_STAGE, 1):
        for _ in range(many):
            number += 1
            entered(ledger, number, stage, Money(minor=100, currency="CNY"))
            ledger.opportunity(number, (CloseDateSet(close_date=date(2017, 3, 1)), day(3)))
    shown = await expectation(await ask(ledger), view(as_of=day(4)), [], QUARTERS)
    counts = {row["category"]: row["count"] for row in shown.figures}
    assert counts == {"pipeline": 11, "best_case": 12, "commit": 5}
    wins = [sum(row[name] for row in shown.figures) for name in ("low_minor", "high_minor")]
    assert wins == [680, 985]  # each worth 100: a hundred is a win expected


async def test_lists_narrow_to_what_is_due_and_to_categories(ask: Ask) -> None:
    ledger = company()
    opened = OpportunityOpened(name="x", process="short", process_version=1)
    today = day(20).date()  # the close date itself is not over yet
    for number, close in ((1, today), (2, today - timedelta(days=1)), (3, None), (5, date(2017, 3, 1))):
        ledger.opportunity(number, (opened.model_copy(update={"close_date": close}), day(1)))
    ledger.opportunity(4, (opened, day(1)), (OpportunityLost(reason="price"), day(2)))
    connection = await ask(ledger)

    async def count(**fields: Any) -> int:
        shown = await expectation(connection, view(Filters(**fields), as_of=day(20)), [], QUARTERS)
        return sum(row["count"] for row in shown.figures)

    counts = [await count(due=name) for name in ("ahead", "overdue", "undated")]
    assert counts == [2, 1, 1]
    assert [await count(forecast=("pipeline",)), await count(forecast=("commit", None))] == [4, 0]
