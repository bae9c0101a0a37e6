"""A story told: the commands that make it true, each at its moment. Pure, and the same for the same day.

What varies between stories (which note, how long a step takes, how far the first estimate is off) is drawn from a generator that
is seeded with the story's key.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

from services.demo import stories
from services.demo.company import Company, Notes
from services.demo.stories import AnyBeat, Story
from services.opportunity.domain.opportunity.opening import OpenOpportunity
from services.opportunity.domain.opportunity.outcome import Abandon, Lose, Pause, Reopen, Resume, Win
from services.opportunity.domain.opportunity.progress import (
    DecideRisk,
    GiveCommitment,
    ObserveBuyingStage,
    ReachMilestone,
    RegressStage,
    RetractCommitment,
    RetractMilestone,
    SkipStage,
)
from services.opportunity.domain.opportunity.terms import (
    AgreeLineItems,
    AssignAccount,
    AssignOwner,
    AssignTeam,
    ChangeAmount,
    ChangeCloseDate,
    Comment,
    Rename,
)
from services.opportunity.domain.process import DEFAULT_PROCESS
from shared.contracts.opportunity import Evidence, LineItem
from shared.kit.calendar import BusinessCalendar
from shared.kit.money import Money

STAGES = DEFAULT_PROCESS.selling
PRICED_AT = "formal_proposal_designed"  # with the formal proposal the estimate becomes a price
OPENING_HOURS = (9, 17)


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids in this installation: key → id."""

    accounts: Mapping[str, str]
    people: Mapping[str, str]
    teams: Mapping[str, str]
    products: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """What one person did at one moment. `commands`: an OpenOpportunity first of all, then changes."""

    actor: str
    at: datetime
    commands: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A step without its moment. `days_ago`: the day it must fall on."""

    actor: str
    commands: tuple[Any, ...]
    days_ago: int | None = None


def tell(story: Story, company: Company, notes: Notes, ids: Ids, calendar: BusinessCalendar, today: date) -> list[Step]:
    """The steps of a story in order; the last one `story.last` days before today."""
    drafts = list(_Teller(story, company, notes, ids, today).drafts())
    moments = _moments(story, drafts, calendar, today)
    return [Step(draft.actor, at, draft.commands) for draft, at in zip(drafts, moments, strict=True)]


class _Teller:
    """Where the story stands while it is told."""

    def __init__(self, story: Story, company: Company, notes: Notes, ids: Ids, today: date) -> None:
        self._story, self._company, self._notes, self._ids = story, company, notes, ids
        self._account = company.accounts[story.account]
        self._currency = self._account.currency
        self._random = Random(story.key)  # noqa: S311 - a story, no secret
        self._owner = story.owner
        self._completed = 0
        self._close = today - timedelta(days=story.began) + timedelta(days=story.close)
        self._amount = self._rounded(self._worth(story.lines) * self._random.randint(88, 112) / 100, 10)

    def drafts(self) -> Iterator[_Draft]:
        story, ids = self._story, self._ids
        yield self._draft(
            OpenOpportunity(
                name=story.name,
                account_id=ids.accounts[story.account],
                owner_id=ids.people[self._owner],
                team_id=ids.teams[self._company.team_of(self._owner, story.began)],
                amount=None if story.lead else self._money(self._amount),
                close_date=None if story.lead else self._close,
                origin="demo",
            )
        )
        for beat in story.beats:
            yield from self._beat(beat)

    def _beat(self, beat: AnyBeat) -> Iterator[_Draft]:
        match beat:
            case stories.Done():
                while self._completed < beat.done:
                    yield from self._milestones(self._completed + 1)
                    yield self._commitment()
            case stories.Enter():
                yield from self._milestones(beat.enter)
            case stories.HandOver():
                yield self._hand_over(beat)
            case stories.Quote():
                yield self._draft(*self._priced(beat.quote), *self._said(beat))
            case stories.Paid():
                self._currency = beat.currency
                yield self._draft(*self._priced(self._story.lines), *self._said(beat))
            case stories.Estimate():
                yield self._draft(
                    ChangeAmount(amount=self._money(self._amount)), ChangeCloseDate(close_date=self._close)
                )
            case stories.OtherAccount():
                self._account = self._company.accounts[beat.account]
                yield self._draft(AssignAccount(account_id=self._ids.accounts[beat.account]), *self._said(beat))
            case stories.Raise() | stories.Reduce():
                change = beat.raise_ if isinstance(beat, stories.Raise) else -beat.reduce
                self._amount = self._rounded(self._amount * (100 + change) / 100, 1)
                yield self._draft(ChangeAmount(amount=self._money(self._amount)), *self._said(beat))
            case stories.PushOut() | stories.PullIn():
                days = beat.push_out if isinstance(beat, stories.PushOut) else -beat.pull_in
                self._close += timedelta(days=days)
                yield self._draft(ChangeCloseDate(close_date=self._close), *self._said(beat))
            case stories.Skip():
                self._completed = beat.skip
                yield self._draft(SkipStage(stage=beat.skip, reason=beat.because))
            case stories.Back():
                self._completed = beat.back
                yield self._draft(RegressStage(to_completed=beat.back, reason=beat.because))
            case stories.Retract():
                stage = next(s.number for s in STAGES if beat.retract in {milestone.code for milestone in s.milestones})
                self._completed = min(self._completed, stage - 1)
                yield self._draft(RetractMilestone(milestone=beat.retract, stage=stage, reason=beat.because))
            case stories.TakeBack():
                stage, self._completed = self._completed, self._completed - 1
                yield self._draft(RetractCommitment(criterion=beat.take_back, stage=stage, reason=beat.because))
            case _:
                yield self._draft(self._plain(beat))

    def _plain(self, beat: AnyBeat) -> Any:
        """Beats that are one command and change nothing that later beats build on."""
        match beat:
            case stories.Buying():
                return ObserveBuyingStage(stage=beat.buying, evidence=self._evidence(beat.because))
            case stories.Decide():
                return DecideRisk(decision=beat.decide, reason=beat.because)
            case stories.Rename():
                return Rename(name=beat.rename)
            case stories.Pause():
                return Pause(reason=beat.pause)
            case stories.Resume():
                return Resume()
            case stories.Comment():
                return Comment(text=beat.comment)
            case stories.Won():
                return Win(amount=self._money(self._amount), evidence=self._evidence(beat.won))
            case stories.Lost():
                price = None if beat.price is None else self._money(beat.price)
                return Lose(reason=beat.lost, competitor=beat.to, price=price)
            case stories.Abandoned():
                return Abandon(reason=beat.abandoned)
            case stories.Reopened():
                return Reopen(reason=beat.reopened)
        raise TypeError(f"{type(beat).__name__} is told nowhere")

    def _milestones(self, number: int) -> Iterator[_Draft]:
        for milestone in STAGES[number - 1].milestones:
            reached = ReachMilestone(stage=number, milestone=milestone.code, evidence=self._noted(milestone.code))
            priced = self._priced(self._story.lines) if milestone.code == PRICED_AT else ()
            yield self._draft(reached, *priced)

    def _commitment(self) -> _Draft:
        stage = STAGES[self._completed]
        self._completed = stage.number
        code = stage.criteria[0].code
        return self._draft(GiveCommitment(stage=stage.number, criterion=code, evidence=self._noted(code)))

    def _hand_over(self, beat: stories.HandOver) -> _Draft:
        former, self._owner = self._owner, beat.hand_over
        team = self._company.team_of(self._owner, beat.at - 0.5)
        commands = (
            AssignOwner(owner_id=self._ids.people[self._owner]),
            AssignTeam(team_id=self._ids.teams[team]),
            *self._said(beat),
        )
        return _Draft(former, commands, beat.at)

    def _priced(self, lines: Mapping[str, int]) -> tuple[Any, ...]:
        self._amount = self._worth(lines)
        items = tuple(
            LineItem(
                product_id=self._ids.products[product],
                quantity=quantity,
                unit_price=self._money(self._unit_price(product)),
            )
            for product, quantity in lines.items()
        )
        return AgreeLineItems(line_items=items), ChangeAmount(amount=self._money(self._amount))

    def _worth(self, lines: Mapping[str, int]) -> int:
        return sum(self._unit_price(product) * quantity for product, quantity in lines.items())

    def _unit_price(self, product: str) -> int:
        return self._company.products[product].price(self._currency) * (100 - self._story.discount) // 100

    def _rounded(self, amount: float, thousands: int) -> int:
        return round(amount / 1000 / thousands) * 1000 * thousands

    def _money(self, amount: int) -> Money:
        return Money(minor=amount * 100, currency=self._currency)

    def _said(self, beat: AnyBeat) -> tuple[Comment, ...]:
        return (Comment(text=beat.because),) if beat.because else ()

    def _noted(self, code: str) -> Evidence:
        a, b, c = self._account.contacts
        product = self._company.products[next(iter(self._story.lines))]
        note = self._random.choice(self._notes[code][self._account.language])
        name = product.zh if self._account.language == "zh" else product.en[0].lower() + product.en[1:]
        return self._evidence(note.format(a=a, b=b, c=c, product=name))

    def _evidence(self, note: str) -> Evidence:
        return Evidence(note=note[0].upper() + note[1:], by=self._company.people[self._owner].zh)

    def _draft(self, *commands: Any) -> _Draft:
        return _Draft(self._owner, commands)


def _moments(story: Story, drafts: list[_Draft], calendar: BusinessCalendar, today: date) -> Iterator[datetime]:
    """One for each step, later and later, in working hours; a step with a day of its own falls on that."""
    random = Random(f"{story.key} when")  # noqa: S311 - a story, no secret
    fixed = {0: story.began, len(drafts) - 1: story.last}
    fixed |= {place: draft.days_ago for place, draft in enumerate(drafts) if draft.days_ago is not None}
    anchors = sorted(fixed)
    days_ago: list[float] = [story.began]
    for start, end in pairwise(anchors):
        weights = [random.uniform(0.4, 1.6) for _ in range(end - start)]
        passed = 0.0
        for weight in weights:
            passed += weight
            days_ago.append(fixed[start] + (fixed[end] - fixed[start]) * passed / sum(weights))
    previous: datetime | None = None
    for ago in days_ago[: len(drafts)]:
        day = today - timedelta(days=max(1, round(ago)))
        day -= timedelta(days=max(0, day.weekday() - 4))  # nobody works on Saturday: it was done on Friday
        minutes = random.randint(OPENING_HOURS[0] * 60, OPENING_HOURS[1] * 60)
        moment = calendar.start_of_day(day) + timedelta(minutes=minutes)
        if previous is not None and moment <= previous:
            moment = previous + timedelta(minutes=random.randint(5, 40))
        previous = moment
        yield moment
