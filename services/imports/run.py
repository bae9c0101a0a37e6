"""Carrying out an import: the account service's part first, then the opportunities, through the same commands as the API.

Every row is one append, so a run that was stopped is resumed by running it again: what is there already changes nothing.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.account.commands import upsert_account, upsert_person, upsert_product, upsert_team
from services.account.domain.account import AccountInput
from services.account.domain.person import PersonInput
from services.account.domain.product import ProductInput
from services.account.domain.team import TeamInput
from services.account.domain.values import Reference
from services.imports import steps
from services.imports.mapping import Mapping
from services.imports.reading import AccountRow, Export, Finding, OpportunityRow
from services.opportunity.commands import anyone, define_process, upsert
from shared.contracts.refusal import RefusedError
from shared.eventstore.commands import CommandContext, Commands, Decide, Outcome
from shared.eventstore.types import JsonObject
from shared.eventstore.work import Work
from shared.kit.calendar import BusinessCalendar
from shared.kit.ids import new_id

CHUNK = 500
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Result:
    """Per file: rows created, changed, unchanged, rejected; together they are the rows read. `won` is that of the rows taken."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    doubts: list[Finding] = field(default_factory=list)
    rejections: list[Finding] = field(default_factory=list)
    won: int = 0
    won_minor: int = 0
    events: int = 0
    last_position: dict[str, int] = field(default_factory=dict)
    versions: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Services:
    """The commands of the two services that take part."""

    account: Commands
    opportunity: Commands


class Import:
    """One run over one export. `dry_run` decides everything and writes nothing."""

    def __init__(
        self,
        services: Services,
        export: Export,
        mapping: Mapping,
        calendar: BusinessCalendar,
        now: datetime,
        *,
        dry_run: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> None:
        self._services = services
        self._export = export
        self._mapping = mapping
        self._calendar = calendar
        self._now = now
        self._dry_run = dry_run
        self._progress = progress
        self._correlation = new_id()
        self._done = 0
        self._ids: dict[tuple[str, str], str] = {}
        self._rejected: set[tuple[str, int]] = set()
        self.result = Result(doubts=list(export.doubts), rejections=list(export.rejections))

    async def run(self) -> Result:
        """Carry it out. Business refusals become rejections of their rows; anything else ends the run, to be resumed."""
        export, files = self._export, self._mapping.files
        for file, read in export.read.items():
            rejected = sum(finding.file == file for finding in export.rejections)
            self.result.counts[file] = Counter(read=read, rejected=rejected)
        await self._organisation()
        await self._products()
        for rows in _by_generation(export.accounts):
            await self._rows(self._services.account, files.accounts, [(row.line, self._account(row)) for row in rows])
        await self._one(
            self._services.opportunity, lambda work: define_process(work, self._mapping.process.key, self._process)
        )
        rows_of_deals = [(row.line, self._opportunity(row)) for row in export.opportunities]
        await self._rows(self._services.opportunity, files.opportunities, rows_of_deals)
        taken = [row for row in export.opportunities if (files.opportunities, row.line) not in self._rejected]
        won = [row.value for row in taken if row.stage.outcome == "won" and row.value is not None]
        self.result.won, self.result.won_minor = len(won), sum(value.minor for value in won)
        return self.result

    @property
    def _process(self) -> Any:
        return steps.process_of(self._mapping)

    async def _organisation(self) -> None:
        """Regions are teams above the managers' teams. Nothing says since when; the first opportunity shows that they were there."""
        rows, commands, system = self._export.sellers, self._services.account, self._mapping.system
        since = self._first_day()
        people = dict.fromkeys([*(row.manager for row in rows), *(row.person for row in rows)])
        for name in people:
            await self._one(
                commands,
                self._keeping(
                    "person",
                    name,
                    lambda work, n=name: upsert_person(  # type: ignore[misc]
                        work, system, n, PersonInput(name=n)
                    ),
                ),
                since,
            )
        for region in dict.fromkeys(row.region for row in rows if row.region):
            await self._one(
                commands,
                self._keeping(
                    "region",
                    region,
                    lambda work, n=region: upsert_team(  # type: ignore[misc]
                        work, system, f"region {n}", TeamInput(name=n)
                    ),
                ),
                since,
            )
        teams: dict[str, list[str]] = {}
        regions = {row.manager: row.region for row in rows}
        for row in rows:
            teams.setdefault(row.manager, []).append(row.person)
        for manager, members in teams.items():
            team = self._team(manager, members, regions[manager])
            await self._one(
                commands,
                self._keeping(
                    "team",
                    manager,
                    lambda work, n=manager, t=team: upsert_team(  # type: ignore[misc]
                        work, system, n, t
                    ),
                ),
                since,
            )
        for row in rows:
            self._ids["team of", row.person] = self._ids["team", row.manager]
            self._ids.setdefault(("team of", row.manager), self._ids["team", row.manager])
        self.result.counts[self._mapping.files.teams]["taken"] = len(rows)
        self._advance(len(rows))

    def _team(self, manager: str, members: Iterable[str], region: str) -> TeamInput:
        if self._dry_run:  # whom it refers to has not been recorded
            return TeamInput(name=manager)
        system = self._mapping.system
        return TeamInput(
            name=manager,
            parent=Reference(system=system, external_id=f"region {region}") if region else None,
            manager=Reference(system=system, external_id=manager),
            members=tuple(Reference(system=system, external_id=member) for member in members),
        )

    async def _products(self) -> None:
        rows = [
            (
                row.line,
                self._keeping("product", row.id, lambda work, r=row: upsert_product(  # type: ignore[misc]
                    work, self._mapping.system, r.id, ProductInput(name=r.name, series=r.series, list_price=r.price)
                )),
            )
            for row in self._export.products
        ]  # fmt: skip
        await self._rows(self._services.account, self._mapping.files.products, rows)

    def _account(self, row: AccountRow) -> Decide:
        system, known = self._mapping.system, {account.id for account in self._export.accounts}
        fields: dict[str, Any] = {"name": row.name, "industry": row.industry, "attributes": dict(row.attributes)}
        if row.parent in known and not self._dry_run:
            fields["parent"] = Reference(system=system, external_id=row.parent)
        flags = sorted(
            {f.code for f in self._export.doubts if (f.file, f.line) == (self._mapping.files.accounts, row.line)}
        )
        if row.parent and row.parent not in known:
            flags.append("unknown_parent")
        account = AccountInput(flags=tuple(flags), **fields)
        return self._keeping("account", row.id, lambda work: upsert_account(work, system, row.id, account))

    def _opportunity(self, row: OpportunityRow) -> Decide:
        mapping, start_of_day = self._mapping, self._calendar.start_of_day
        wanted = steps.opening(
            row,
            mapping,
            start_of_day,
            account_id=self._ids.get(("account", row.account or "")),
            owner_id=self._ids.get(("person", row.owner or "")),
            team_id=self._ids.get(("team of", row.owner or "")),
            product_id=self._ids.get(("product", row.product or "")),
        )

        async def decide(work: Work) -> JsonObject:
            if self._dry_run:  # the process has not been recorded
                await define_process(work, mapping.process.key, self._process)
            return await upsert(
                work,
                mapping.system,
                row.id,
                wanted,
                anyone,
                lambda state: steps.steps(state, row, wanted, mapping, start_of_day),
            )

        return decide

    def _keeping(self, kind: str, key: str, upsert_one: Callable[[Work], Awaitable[str]]) -> Decide:
        async def decide(work: Work) -> JsonObject:
            found = await upsert_one(work)
            self._ids[kind, key] = found
            return {"id": found, "created": work.expected.get(next(iter(work.versions), ""), 0) == 0}

        return decide

    async def _rows(self, commands: Commands, file: str, rows: Sequence[tuple[int, Decide]]) -> None:
        count = self.result.counts[file]
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            results = await commands.run_many([(self._context(None), {}, decide) for _, decide in chunk])
            for (line, _), outcome in zip(chunk, results, strict=True):
                if isinstance(outcome, RefusedError):
                    self._rejected.add((file, line))
                    self.result.rejections.append(Finding(file, line, outcome.reasons[0].code, str(outcome)))
                    count["rejected"] += 1
                elif isinstance(outcome, Exception):
                    raise outcome
                else:
                    self._count(count, outcome)
            self._advance(len(chunk))

    def _count(self, count: Counter[str], outcome: Outcome) -> None:
        created = bool(outcome.answer.get("created")) and bool(outcome.events)
        count["taken"] += 1
        count["created" if created else "changed" if outcome.events else "unchanged"] += 1
        self.result.events += len(outcome.events)

    async def _one(self, commands: Commands, decide: Decide, occurred_at: datetime | None = None) -> None:
        outcome = await commands.run(self._context(occurred_at), {}, decide)
        self.result.events += len(outcome.events)

    def _context(self, occurred_at: datetime | None) -> CommandContext:
        return CommandContext(
            actor=f"import/{self._mapping.system}",
            now=self._now,
            correlation_id=self._correlation,
            occurred_at=occurred_at,
            dry_run=self._dry_run,
        )

    def _first_day(self) -> datetime | None:
        days = [row.opened_on for row in self._export.opportunities if row.opened_on]
        return self._calendar.start_of_day(min(days)) if days else None

    def _advance(self, rows: int) -> None:
        self._done += rows
        self._progress(self._done, sum(self._export.read.values()))


def _by_generation(accounts: Sequence[AccountRow]) -> list[list[AccountRow]]:
    """Parents before their children; rows of a ring of parents come last, where the domain refuses what closes the ring."""
    left, done = list(accounts), set[str]()
    known = {account.id for account in accounts}
    generations: list[list[AccountRow]] = []
    while left:
        ready = [row for row in left if row.parent not in known or row.parent in done] or left
        generations.append(ready)
        done |= {row.id for row in ready}
        left = [row for row in left if row.id not in done]
    return generations
