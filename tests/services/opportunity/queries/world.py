"""A company with random opportunities, and what is true of them, told without SQL."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.opportunity.domain.opportunity import outcome, progress, terms
from services.opportunity.domain.opportunity.page import position
from services.opportunity.domain.opportunity.state import INITIAL, OpportunityState, evolve
from services.opportunity.domain.process import SalesProcess
from services.opportunity.queries.moment import By
from services.opportunity.queries.view import Filters, View
from shared.contracts.account import AccountMoved, AccountRegistered, PersonJoined, TeamFormed
from shared.contracts.event import Recorded
from shared.contracts.opportunity import OpportunityOpened
from shared.kit.money import Money
from shared.service.visibility import EVERYTHING, Scope
from shared.testing.given import START
from tests.services.opportunity.deals import DEFAULT, SEEN, SHORT
from tests.services.opportunity.records import Ledger, entity, moments

NOW = START + timedelta(days=200)
OWNERS = [None, entity(0xA1), entity(0xA2)]
TEAMS = [None, entity(0xB1), entity(0xB2)]
GROUP, BRANCH, ALONE = (entity(n) for n in (0xC1, 0xC2, 0xC3))
ACCOUNTS = [None, GROUP, BRANCH, ALONE]
PROCESSES: Mapping[str, SalesProcess] = {"short": SHORT, "default": DEFAULT}
RANKS = {"searching": 1, "in_funnel": 2, "best": 3}


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def view(
    filters: Filters | None = None,
    *,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
    scope: Scope = EVERYTHING,
    belonging: Any = "now",
    now: datetime = NOW,
) -> View:
    return View(scope, now, as_of, known_at, filters or Filters(), belonging)


def company() -> Ledger:
    """Two processes, an account with a branch and one alone, people and teams; nothing sold yet."""
    ledger = Ledger()
    ledger.write("sales_process-short", SHORT, START)
    ledger.write("sales_process-default", DEFAULT, START)
    for account_id, name in ((GROUP, "顶点集团"), (BRANCH, "Acme Branch"), (ALONE, "Zeta")):
        ledger.write(f"account-{account_id}", AccountRegistered(name=name), START)
    ledger.write(f"account-{BRANCH}", AccountMoved(parent_id=GROUP), START)
    for number, person_id in enumerate(OWNERS[1:], 1):
        ledger.write(f"person-{person_id}", PersonJoined(name=f"Person {number}"), START)
    for number, team_id in enumerate(TEAMS[1:], 1):
        ledger.write(f"team-{team_id}", TeamFormed(name=f"Team {number}"), START)
    return ledger


def _command(chance: random.Random, process: SalesProcess) -> Any:
    last = len(process.selling)
    amount = Money(minor=chance.randrange(1, 900), currency=chance.choice(["CNY", "CNY", "USD"]))
    return chance.choice(
        [
            progress.AssertProgress(completed_stage=chance.randint(1, last), note="n"),
            progress.AssertProgress(completed_stage=last, note="n"),
            progress.RegressStage(to_completed=chance.randrange(last), reason="r"),
            progress.ObserveBuyingStage(stage=chance.randint(1, last), evidence=SEEN),
            progress.SkipStage(stage=chance.randint(1, last), reason="r"),
            terms.ChangeAmount(amount=amount),
            terms.AssignOwner(owner_id=chance.choice(OWNERS)),
            terms.AssignTeam(team_id=chance.choice(TEAMS)),
            terms.AssignAccount(account_id=chance.choice(ACCOUNTS)),
            outcome.Win(amount=chance.choice([None, amount]), evidence=SEEN),
            outcome.Win(evidence=SEEN),
            outcome.Lose(reason=chance.choice(["price", "time"]), competitor=chance.choice([None, "Rival"])),
            outcome.Abandon(reason="budget"),
            outcome.Pause(reason="r"),
            outcome.Resume(),
            outcome.Reopen(reason="r"),
        ]
    )


def random_company(seed: int, opportunities: int = 30) -> Ledger:
    chance, ledger = random.Random(seed), company()
    for number in range(1, opportunities + 1):
        process = PROCESSES[chance.choice(["short", "short", "default"])]
        [opened, *times] = moments(chance, 11, 150)
        event = OpportunityOpened(
            name=f"Deal {chance.randrange(5)}",
            process=process.key,
            process_version=1,
            owner_id=chance.choice(OWNERS),
            team_id=chance.choice(TEAMS),
            account_id=chance.choice(ACCOUNTS),
            amount=chance.choice([None, Money(minor=chance.randrange(500), currency="CNY")]),
        )
        ledger.opportunity(number, (event, opened))
        ledger.decide(number, [_command(chance, process) for _ in times], times, process)
    return _as_learned(chance, ledger)


def _as_learned(chance: random.Random, ledger: Ledger) -> Ledger:
    """The same facts as somebody learned them: the streams interleaved, later and later."""
    learned, known = Ledger(), START
    queues: dict[str, list[Recorded[Any]]] = {}
    for one in ledger.records:
        queues.setdefault(one.stream_id, []).append(one)
    while queues:
        stream_id = chance.choice(sorted(queues))
        one = queues[stream_id].pop(0)
        if not queues[stream_id]:
            del queues[stream_id]
        known = max(known, one.occurred_at if chance.random() < 0.3 else known)
        learned.write(stream_id, one.event, one.occurred_at, known)
    return learned


@dataclass(frozen=True)
class Moment:
    """An opportunity from `start` on, until the next."""

    start: datetime
    end: datetime | None
    state: OpportunityState

    def place(self, by: By) -> str:
        at = position(self.state, PROCESSES[self.state.process])
        return str(at.working_stage) if by == "stage" else at.funnel_state

    def rank(self, by: By) -> int:
        return int(self.place(by)) if by == "stage" else RANKS[self.place(by)]


def lives(ledger: Ledger, as_of: datetime | None, known_at: datetime | None) -> dict[str, list[Moment]]:
    """Per opportunity its moments up to `as_of`, by what was known at `known_at`."""
    streams: dict[str, list[Recorded[Any]]] = {}
    for one in ledger.records:
        if one.stream_id.startswith("opportunity-") and (known_at is None or one.recorded_at <= known_at):
            streams.setdefault(one.entity_id, []).append(one)
    found: dict[str, list[Moment]] = {}
    for opportunity_id, facts in streams.items():
        due = [one for one in facts if as_of is None or one.occurred_at <= as_of]
        state, states = INITIAL, dict[datetime, OpportunityState]()
        for one in sorted(due, key=lambda one: (one.occurred_at, one.version)):
            state = evolve(state, one)
            if state.exists:
                states[one.occurred_at] = state
        times = sorted(states)
        ends = [*times[1:], None]
        if times:
            found[opportunity_id] = [Moment(at, end, states[at]) for at, end in zip(times, ends, strict=True)]
    return found
