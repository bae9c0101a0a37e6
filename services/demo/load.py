"""Loading the invented company through the same commands as the API.

Every step has a command id of its own, `demo/…`, so that a load that takes up where another was broken off finds what is done
already; it goes on with the day on which the first one began. The last command says that all is there: after that nothing is
loaded again, whatever people have changed since, and whatever a later version would tell.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import groupby

from services.account.commands import (
    join_team,
    leave_person,
    leave_team,
    upsert_account,
    upsert_person,
    upsert_product,
    upsert_team,
)
from services.account.domain.account import AccountInput
from services.account.domain.person import Departure, PersonInput
from services.account.domain.product import ProductInput
from services.account.domain.team import TeamInput, TeamPerson
from services.account.domain.values import Reference
from services.demo.company import Company, Role, company, notes
from services.demo.expected import acts_of, tell_expectations
from services.demo.gates import tell_gates
from services.demo.judged import define_judging, tell_judgements
from services.demo.planned import asking, quoting
from services.demo.stories import stories
from services.demo.telling import Ids, Step, tell
from services.imports.run import Services
from services.opportunity.commands import anyone, change, claim_id, define_process, upsert
from services.opportunity.domain.opportunity.opening import OpenOpportunity
from services.opportunity.domain.process import DEFAULT_PROCESS, DEFAULT_PROCESS_KEY
from services.opportunity.entities import CLAIM
from services.opportunity.gating import define_default_book
from shared.eventstore.commands import CommandContext, Commands, Decide, Outcome
from shared.eventstore.types import JsonObject
from shared.eventstore.work import Work
from shared.kit.calendar import BusinessCalendar, Period
from shared.kit.ids import new_id
from shared.kit.money import Money

SYSTEM = "demo"
COMPLETE = f"{SYSTEM}/complete"  # id of the command that says that all is there
FOUNDED = 760  # days before today: before all else

Act = Callable[[Work], Awaitable[str]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody of the company, for whom a token can be made."""

    subject: str
    name: str
    role: Role


@dataclass(slots=True)
class DemoResult:
    """What there is now; `events`: how many of them this load wrote. `last`: service → position of the last event of the company,
    so that a caller can wait until it is visible."""

    accounts: int = 0
    people: int = 0
    teams: int = 0
    products: int = 0
    opportunities: int = 0
    events: int = 0
    last: dict[str, int] = field(default_factory=lambda: {"account": 0, "opportunity": 0})
    logins: list[Login] = field(default_factory=list)


def logins() -> list[Login]:
    """Who could log in, the director first."""
    return [Login(key, person.zh, person.role) for key, person in company().people.items()]


async def load_demo(
    services: Services, calendar: BusinessCalendar, today: date, progress: Progress = lambda done, total: None
) -> DemoResult:
    """Load what is missing. All that happens in it lies before `today`. Raises what a command raises: the next load goes on."""
    return await _Loading(services, calendar, today, progress).run()


class _Loading:
    def __init__(self, services: Services, calendar: BusinessCalendar, today: date, progress: Progress) -> None:
        self._services, self._calendar, self._today, self._progress = services, calendar, today, progress
        self._company = company()
        self._correlation = new_id()
        self._done, self._total = 0, len(stories()) + 1
        self._result = DemoResult(logins=logins())

    async def run(self) -> DemoResult:
        begun = await self._note("begun", {"today": self._today.isoformat()})
        self._today = date.fromisoformat(begun.answer["today"])
        if not (await self._note("complete", {}, dry_run=True)).replayed:
            ids = await self._organisation()
            self._advance(1)
            await self._process()
            await self._plans(ids)
            await self._stories(ids)
            midnight = self._calendar.start_of_day(self._today)
            await tell_gates(self._command, self._company, SYSTEM, midnight)
            await tell_judgements(self._command, SYSTEM, midnight)
            await tell_expectations(self._command, self._company, SYSTEM, midnight)
        complete = await self._note("complete", {"last": self._result.last})
        self._result.last = complete.answer["last"]
        self._advance(self._total - self._done)
        found, company = self._result, self._company
        found.accounts, found.people = len(company.accounts), len(company.people)
        found.teams, found.products, found.opportunities = len(company.teams), len(company.products), len(stories())
        return found

    async def _note(self, step: str, answer: JsonObject, *, dry_run: bool = False) -> Outcome:
        """Put an answer on record, once and for all; the first one counts."""

        async def decide(_: Work) -> JsonObject:
            return answer

        context = replace(self._context(step, None), dry_run=dry_run)
        return await self._services.opportunity.run(context, {}, decide)

    async def _process(self) -> None:
        async def decide(work: Work) -> JsonObject:
            return await define_process(work, DEFAULT_PROCESS_KEY, DEFAULT_PROCESS)

        context = self._context("process", self._moment(FOUNDED))
        self._took("opportunity", await self._services.opportunity.run(context, {}, decide))
        await self._command("gates/book", SYSTEM, self._moment(FOUNDED), define_default_book)
        await self._command("judging", SYSTEM, self._moment(FOUNDED), define_judging)

    async def _command(self, name: str, actor: str, at: datetime, decide: Decide) -> None:
        self._took("opportunity", await self._services.opportunity.run(self._context(name, at, actor), {}, decide))

    async def _organisation(self) -> Ids:
        """Those above come before those below: the files list them so."""
        own = self._company
        people = await self._each({f"person/{key}": _person(key, own) for key in own.people}, list(own.people))
        teams = await self._each({f"team/{key}": _team(key, own) for key in own.teams}, list(own.teams))
        products = await self._each({f"product/{key}": _product(key, own) for key in own.products}, list(own.products))
        accounts = await self._each({f"account/{key}": _account(key, own) for key in own.accounts}, list(own.accounts))
        for move in own.moves:
            person = TeamPerson(person=_named(move.person))
            moment = self._moment(move.days_ago)
            await self._do(f"leaves/{move.person}", moment, _as_member(leave_team, teams[move.leaves], person))
            await self._do(f"joins/{move.person}", moment, _as_member(join_team, teams[move.joins], person))
        for leaver in own.leavers:
            moment = self._moment(leaver.days_ago)
            team = own.team_of(leaver.person, leaver.days_ago)
            member = TeamPerson(person=_named(leaver.person))
            await self._do(f"leaves/{leaver.person}", moment, _as_member(leave_team, teams[team], member))
            await self._do(f"left/{leaver.person}", moment, _departure(people[leaver.person], leaver.reason))
        return Ids(accounts, people, teams, products)

    async def _each(self, acts: dict[str, Act], keys: Sequence[str]) -> dict[str, str]:
        founded = self._moment(FOUNDED)
        return {key: await self._do(step, founded, act) for key, (step, act) in zip(keys, acts.items(), strict=True)}

    async def _do(self, step: str, at: datetime, act: Act) -> str:
        async def decide(work: Work) -> JsonObject:
            return {"id": await act(work)}

        outcome = await self._services.account.run(self._context(step, at), {}, decide)
        self._took("account", outcome)
        return str(outcome.answer["id"])

    async def _plans(self, ids: Ids) -> None:
        calendar, founded = self._calendar, self._moment(FOUNDED)
        since = self._today - timedelta(days=FOUNDED)
        await self._command("rates", SYSTEM, founded, quoting(calendar, since, self._today))
        quarters = (self._last_quarter, calendar.following(self._last_quarter))
        await self._command("targets", logins()[0].subject, founded, asking(self._company, ids, calendar, quarters))

    async def _stories(self, ids: Ids) -> None:
        """Up to each moment of the last quarter at which somebody reckoned with how all of them stood; then to their ends."""
        told: list[tuple[str, int, Step]] = []
        for story in stories():
            steps = tell(story, self._company, notes(), ids, self._calendar, self._today)
            told += [(story.key, place, step) for place, step in enumerate(steps)]
        acts = acts_of(self._company, ids, SYSTEM, self._calendar, self._last_quarter)
        for at, group in groupby(acts, lambda act: act.at):
            await self._tell([one for one in told if one[2].at < at])
            told = [one for one in told if one[2].at >= at]
            for act in group:
                await self._command(act.name, act.actor, at, act.decide)
        await self._tell(told)

    async def _tell(self, told: Sequence[tuple[str, int, Step]]) -> None:
        """Side by side; the steps of one story one after the other."""
        items: list[tuple[CommandContext, JsonObject, Decide]] = []
        lanes: list[Hashable] = []
        for key, place, step in told:
            items.append((self._context(f"{key}/{place}", step.at, step.actor), {}, _step(key, step)))
            lanes.append(key)
        commands: Commands = self._services.opportunity
        for outcome in await commands.run_many(items, lanes):
            if isinstance(outcome, Exception):
                raise outcome
            self._took("opportunity", outcome)

    @property
    def _last_quarter(self) -> Period:
        """The last one that has ended."""
        return self._calendar.preceding(self._calendar.period_of_day(self._today, "quarter"))

    def _context(self, step: str, at: datetime | None, actor: str = SYSTEM) -> CommandContext:
        return CommandContext(
            actor=actor,
            now=self._calendar.start_of_day(self._today),
            correlation_id=self._correlation,
            command_id=f"{SYSTEM}/{step}",
            occurred_at=at,
        )

    def _moment(self, days_ago: int) -> datetime:
        return self._calendar.start_of_day(self._today - timedelta(days=days_ago)) + timedelta(hours=9)

    def _took(self, service: str, outcome: Outcome) -> None:
        self._result.events += len(outcome.events)
        self._result.last[service] = max(self._result.last[service], outcome.last)

    def _advance(self, done: int) -> None:
        self._done += done
        self._progress(self._done, self._total)


def _step(story: str, step: Step) -> Decide:
    async def decide(work: Work) -> JsonObject:
        first = step.commands[0]
        if isinstance(first, OpenOpportunity):
            return await upsert(work, SYSTEM, story, first, anyone)
        claim = (await work.state(CLAIM, claim_id(SYSTEM, story))).state
        return await change(work, str(claim.opportunity_id), step.commands, anyone)

    return decide


def _named(key: str) -> Reference:
    return Reference(system=SYSTEM, external_id=key)


def _person(key: str, own: Company) -> Act:
    person = own.people[key]
    command = PersonInput(name=person.zh, names=person.names, email=f"{key}@example.com", subject=key)
    return lambda work: upsert_person(work, SYSTEM, key, command)


def _team(key: str, own: Company) -> Act:
    team = own.teams[key]
    command = TeamInput(
        name=team.zh,
        names=team.names,
        parent=_named(team.under) if team.under else None,
        manager=_named(team.manager),
        members=tuple(_named(member) for member in team.members),
    )
    return lambda work: upsert_team(work, SYSTEM, key, command)


def _product(key: str, own: Company) -> Act:
    product = own.products[key]
    price = Money(minor=product.CNY * 100, currency="CNY")
    command = ProductInput(name=product.zh, names=product.names, series=product.series, list_price=price)
    return lambda work: upsert_product(work, SYSTEM, key, command)


def _account(key: str, own: Company) -> Act:
    account = own.accounts[key]
    parent = _named(account.under) if account.under else None
    command = AccountInput(name=account.name, names=account.names, industry=account.industry, parent=parent)
    return lambda work: upsert_account(work, SYSTEM, key, command)


def _as_member(act: Callable[[Work, str, TeamPerson], Awaitable[str]], team_id: str, person: TeamPerson) -> Act:
    return lambda work: act(work, team_id, person)


def _departure(person_id: str, reason: str) -> Act:
    return lambda work: leave_person(work, person_id, Departure(reason=reason))
