"""What the invented company expected of the last quarter: submitted three times, after which a deal slipped out of it; and
what it reckons with now."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from services.demo.company import Company
from services.demo.gates import DAY, Run, above
from services.demo.stories import HandOver, Story, stories
from services.demo.telling import Ids
from services.opportunity.commands import Acting, anyone, change, claim_id, process_of
from services.opportunity.domain.forecast.category import Forecast, Judgement, category
from services.opportunity.domain.forecast.submission import Holder, Snapshot, SubmitForecast
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.opportunity.terms import ChangeCloseDate, Comment
from services.opportunity.domain.process import SalesProcess, probability, working_stage
from services.opportunity.entities import CLAIM, OPPORTUNITY
from services.opportunity.forecasting import submit_forecast
from shared.contracts.opportunity import ChosenCategory, ForecastLine
from shared.eventstore.commands import Decide, Work
from shared.eventstore.types import JsonObject
from shared.kit.calendar import BusinessCalendar, Period
from shared.kit.ids import derived_id
from shared.kit.money import Money

SUBMITTED_AFTER = (9, 40, 75)  # days of the quarter: one in each of its months
EVENING = 17  # o'clock
SLIPPED = "sp-tandem"
PROMISED, GAVE_UP = 2, 5  # days after the quarter began, and before it ended
SIGNING = 12  # days before the quarter ended, it was said
NOTES: Mapping[tuple[str, int], str] = {
    ("he.jun", 0): "冷连轧已内定我方，季末前签",
    ("he.jun", 2): "冷连轧仍按本季报，合同评审排在下周",
    ("ingrid.moe", 1): "Shutdown dates decide which of them closes in time",
}
CATEGORISED: Mapping[str, ChosenCategory] = {"yn-storage-c": "pipeline", "bh-breaker": "omitted"}
JUDGED, JUDGED_LATER = "jb-monitor-3", 30  # days
_NAMES = UUID("4c6e0e0b-52e5-4d0e-9a35-6a0b6df1c2a7")


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody decided at a moment of the quarter, on what had become of all stories by then."""

    name: str
    actor: str
    at: datetime
    decide: Decide


def acts_of(company: Company, ids: Ids, system: str, calendar: BusinessCalendar, quarter: Period) -> Sequence[Act]:
    """In order of time, all within the quarter."""

    def evening(day: date) -> datetime:
        day -= timedelta(days=max(0, day.weekday() - 4))  # nobody works on Saturday
        return calendar.start_of_day(day) + timedelta(hours=EVENING)

    def slipping(name: str, day: date, *commands: Any) -> Act:
        owner = next(story.owner for story in stories() if story.key == SLIPPED)
        return Act(f"expected/{name}", owner, evening(day), _doing(system, SLIPPED, commands))

    promised = quarter.last_day - timedelta(days=SIGNING)
    acts = [
        slipping(
            "promised",
            quarter.first_day + timedelta(days=PROMISED),
            ChangeCloseDate(close_date=promised),
            Forecast(category="commit"),
            Comment(text="合同评审排在季末前，按本季签约报"),
        )
    ]
    for number, days in enumerate(SUBMITTED_AFTER):
        at = evening(quarter.first_day + timedelta(days=days))
        acts += _submissions(company, ids, system, calendar, quarter, number, at)
    acts.append(
        slipping(
            "slipped",
            quarter.last_day - timedelta(days=GAVE_UP),
            ChangeCloseDate(close_date=calendar.following(quarter).last_day),
            Comment(text="业主董事会改期，滑到下季度"),
        )
    )
    return acts


async def tell_expectations(run: Run, company: Company, system: str, midnight: datetime) -> None:
    """In the evening before `midnight`, on stories that go on."""
    owners = {story.key: story.owner for story in stories()}
    at = midnight - DAY + timedelta(hours=19)
    for key, chosen in CATEGORISED.items():
        await run(f"categorised/{key}", owners[key], at, _doing(system, key, [Forecast(category=chosen)]))
    manager = above(company, owners[JUDGED])
    await run(f"judged-beside/{JUDGED}", manager, at, _judging(system, JUDGED))


def _submissions(
    company: Company, ids: Ids, system: str, calendar: BusinessCalendar, quarter: Period, number: int, at: datetime
) -> Iterator[Act]:
    """Of everybody who sells, then of their teams, by those who lead them."""
    gone = {leaver.person for leaver in company.leavers}
    teams = {key: team for key, team in company.teams.items() if team.members}
    sellers = [person for team in teams.values() for person in team.members if person not in gone]
    holders = [(Holder("person", ids.people[key]), key, key, {key}) for key in sellers]
    for key, team in teams.items():
        people = {*team.members, *(move.person for move in company.moves if move.joins == key)}
        holders.append((Holder("team", ids.teams[key], (ids.teams[key],)), key, team.manager, people))
    for holder, key, actor, people in holders:
        name = f"expected/{holder.kind}/{key}/{number}"
        note = NOTES.get((key, number))
        command = SubmitForecast(period=quarter.label, note=note, occurred_at=at)
        submission_id = str(derived_id(_NAMES, f"{system}/{name}"))
        asked = [story.key for story in stories() if _may_be_of(story, people)]
        yield Act(
            name, actor, at, _submitting(system, asked, command, holder, quarter, calendar.day_of(at), submission_id)
        )


def _may_be_of(story: Story, people: Iterable[str]) -> bool:
    return bool({story.owner, *(beat.hand_over for beat in story.beats if isinstance(beat, HandOver))} & set(people))


def _submitting(
    system: str,
    asked: Iterable[str],
    command: SubmitForecast,
    holder: Holder,
    quarter: Period,
    today: date,
    submission_id: str,
) -> Decide:
    async def decide(work: Work) -> JsonObject:
        open_ones: list[ForecastLine] = []
        won: list[ForecastLine] = []
        for key in asked:
            opportunity_id = (await work.state(CLAIM, claim_id(system, key))).state.opportunity_id
            if opportunity_id is None:
                continue  # it has not begun yet
            state = (await work.state(OPPORTUNITY, opportunity_id)).state
            if (state.owner_id if holder.kind == "person" else state.team_id) not in (holder.id, *holder.teams):
                continue
            process = await process_of(work, state.process, state.process_version)
            if state.outcome == "won" and quarter.contains(state.outcome_since):
                won.append(line_of(opportunity_id, state, process))
            elif not state.closed and state.close_date and today <= state.close_date <= quarter.last_day:
                open_ones.append(line_of(opportunity_id, state, process))
        lines = [*sorted(open_ones, key=_closing), *sorted(won, key=_closing)]
        return await submit_forecast(work, command, holder, quarter, Snapshot(lines), submission_id)

    return decide


def line_of(opportunity_id: str, state: OpportunityState, process: SalesProcess) -> ForecastLine:
    """An opportunity that is open or won as a submission keeps it: what is won is certain."""
    low, high = probability(process, state.completed_stage, state.entered_stage)
    chosen = category(state, process.buying[state.buying_stage - 1].funnel_state)
    if chosen is None:
        raise ValueError(f"{opportunity_id} is {state.outcome}: nothing is expected of it")
    judgement = state.judgement
    return ForecastLine(
        opportunity_id=opportunity_id,
        process=state.process,
        process_version=state.process_version,
        stage=working_stage(state.completed_stage, process),
        category=chosen,
        amount=state.amount,
        low=100 if state.outcome == "won" else low,
        high=100 if state.outcome == "won" else high,
        close_date=state.close_date,
        judged_amount=judgement.amount if judgement else None,
        judged_close_date=judgement.close_date if judgement else None,
    )


def _closing(line: ForecastLine) -> date:
    return line.close_date or date.max


def _doing(system: str, story: str, commands: Sequence[Any]) -> Decide:
    async def decide(work: Work) -> JsonObject:
        claim = (await work.state(CLAIM, claim_id(system, story))).state
        return await change(work, str(claim.opportunity_id), commands, anyone)

    return decide


def _judging(system: str, story: str) -> Decide:
    """A tenth less, and a month later than its owner says."""

    async def decide(work: Work) -> JsonObject:
        opportunity_id = str((await work.state(CLAIM, claim_id(system, story))).state.opportunity_id)
        state = (await work.state(OPPORTUNITY, opportunity_id, must_exist=True)).state
        if state.amount is None or state.close_date is None:
            raise ValueError(f"the story {story} has no amount or no close date to be judged")
        judgement = Judgement(
            amount=Money(minor=state.amount.minor * 9 // 10, currency=state.amount.currency),
            close_date=state.close_date + timedelta(days=JUDGED_LATER),
            note="物资科还会压价，签约按往年要晚一个月",
        )
        return await change(
            work, opportunity_id, [Forecast(judgement=judgement)], anyone, Acting(frozenset({"manager"}))
        )

    return decide
