"""Carrying out an import: the account service's part first, then the opportunities, through the same commands as the API.

Every row is one command, addressed by (system, id): it makes what is not there, changes what differs, and does nothing otherwise.
That alone makes a run resumable by running it again, and a second run a run without events. So rows carry no command ids: these
would cost a look-up each and would answer a row that somebody has changed in between with what was true before. The new rows of
a chunk are written together.

Rows without a business date: see `steps` for opportunities. Accounts and products count from the import on; people and teams
from the first dated opportunity.
"""

import gc
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.imports import steps
from services.imports.mapping import Mapping
from services.imports.organisation import Key, Task, ids_of, people_and_teams, phases, team_key
from services.imports.rows import Export, Finding, OpportunityRow
from services.opportunity.commands import anyone, claim_id, define_process, upsert
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.entities import CLAIM, PROCESS
from shared.contracts.opportunity import OpportunityOpened
from shared.contracts.refusal import RefusedError, refuse
from shared.eventstore.commands import CommandContext, Commands, Decide, Item
from shared.eventstore.types import JsonObject
from shared.eventstore.work import Work
from shared.kit.calendar import BusinessCalendar
from shared.kit.ids import new_id

CHUNK = 500  # rows between two words of progress
RARELY = 100_000  # new objects between two looks for garbage: an import makes millions, and hardly any form rings

Progress = Callable[[int, int], None]
"""Rows done, rows in all."""


@dataclass(slots=True)
class Result:
    """What came of a run; in a dry run, what would have come.

    `counts`: file → read, taken, rejected, and of the taken: created, changed, unchanged. `won`: rows taken that are won, and
    `won_minor` their sum in minor units of the mapping's currency. `last`: service → position of the last event written.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    doubts: list[Finding] = field(default_factory=list)
    rejections: list[Finding] = field(default_factory=list)
    won: int = 0
    won_minor: int = 0
    events: int = 0
    last: dict[str, int] = field(default_factory=lambda: {"account": 0, "opportunity": 0})
    dry_run: bool = False


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
        self._ids: dict[Key, str] = {}
        self._refused: list[Key] = []
        self._process = mapping.process.definition
        self._process_is_new = False
        self._team_of = {row.manager: team_key(row.manager) for row in export.sellers}
        self._team_of |= {row.person: team_key(row.manager) for row in export.sellers}
        self.result = Result(doubts=list(export.doubts), rejections=list(export.rejections), dry_run=dry_run)

    async def run(self) -> Result:
        """Carry it out. Business refusals become rejections of their rows; anything else ends the run, to be resumed."""
        refused = Counter(finding.file for finding in self._export.rejections)
        for file, read in self._export.read.items():
            self.result.counts[file] = Counter(read=read, rejected=refused[file])
        self._advance(refused.total())
        with _seldom_collecting_garbage():
            await self._organisation()
            await self._define_process()
            await self._opportunities()
        return self.result

    async def _organisation(self) -> None:
        known = await self._look_up(people_and_teams(self._export.sellers))
        tasks = phases(self._export, self._mapping, self._first_day(), known)
        if self._dry_run:
            await self._rehearse([task for phase in tasks for task in phase])
        else:
            await self._carry_out(tasks)
        # What was there before is still there when a change to it was refused.
        self._ids |= await self._look_up(self._refused)

    async def _look_up(self, keys: Collection[Key]) -> dict[Key, str]:
        found: dict[Key, str] = {}

        async def look(work: Work) -> JsonObject:
            found.update(await ids_of(work, keys, self._mapping.system))
            return {}

        await self._services.account.run(replace(self._context(), dry_run=True), {}, look)
        return found

    async def _carry_out(self, tasks: Iterable[list[Task]]) -> None:
        for phase in tasks:
            for start in range(0, len(phase), CHUNK):
                chunk = phase[start : start + CHUNK]
                items: list[Item] = [(self._context(task.since), {}, _one(task)) for task in chunk]
                outcomes = await self._services.account.run_many(items)
                for task, outcome in zip(chunk, outcomes, strict=True):
                    if isinstance(outcome, Exception):
                        self._settle(task, outcome)
                    else:
                        self._settle(task, outcome.answer)
                        self._written("account", outcome.last)

    async def _rehearse(self, tasks: Sequence[Task]) -> None:
        """All tasks in one decision that is never written: each sees what those before it would have made."""
        answers: list[JsonObject | Exception] = []

        async def decide(work: Work) -> JsonObject:
            answers.clear()
            for task in tasks:
                try:
                    answers.append(await _one(task)(work))
                except RefusedError as refusal:
                    answers.append(refusal)
            return {}

        await self._services.account.run(self._context(), {}, decide)
        for task, answer in zip(tasks, answers, strict=True):
            self._settle(task, answer)

    def _settle(self, task: Task, answer: JsonObject | Exception) -> None:
        if task.is_row:
            self._row(task.file, task.line, answer)
            self._advance(1)
        elif isinstance(answer, RefusedError):  # what is derived from rows is doubted; the rows themselves are taken
            self.result.doubts.append(Finding(task.file, task.line, answer.reasons[0].code, f"{task.key[1]}: {answer}"))
        elif isinstance(answer, Exception):
            raise answer
        else:
            self.result.events += answer["events"]
        if isinstance(answer, Exception):
            self._refused.append(task.key)
        else:
            self._ids[task.key] = answer["id"]

    async def _define_process(self) -> None:
        key, process = self._mapping.process.key, self._process
        outcome = await self._services.opportunity.run(
            self._context(), {}, lambda work: define_process(work, key, process)
        )
        self._process_is_new = bool(outcome.events)
        self.result.events += len(outcome.events)
        self._written("opportunity", outcome.last)

    async def _opportunities(self) -> None:
        file = self._mapping.files.opportunities
        rows = self._export.opportunities
        for start in range(0, len(rows), CHUNK):
            chunk = [self._doubting(row) for row in rows[start : start + CHUNK]]
            items: list[Item] = [(self._context(), {}, self._opportunity(row)) for row in chunk]
            outcomes = await self._services.opportunity.run_bulk(items, [self._claim(row) for row in chunk])
            for row, outcome in zip(chunk, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    self._row(file, row.line, outcome)
                    continue
                self._row(file, row.line, outcome.answer)
                self._written("opportunity", outcome.last)
                if row.stage.outcome == "won" and row.value is not None:
                    self.result.won += 1
                    self.result.won_minor += row.value.minor
            self._advance(len(chunk))

    def _claim(self, row: OpportunityRow) -> str:
        """The stream that is there if the row was imported before."""
        try:
            return CLAIM.stream_id(claim_id(self._mapping.system, row.id))
        except RefusedError:  # as the row will be when it is decided
            return ""

    def _doubting(self, row: OpportunityRow) -> OpportunityRow:
        """The row, flagged when something that it names was refused."""
        named = {"account": row.account, "product": row.product, "person": row.owner}
        refused = [kind for kind, name in named.items() if name and (kind, name) not in self._ids]
        file = self._mapping.files.opportunities
        self.result.doubts += [
            Finding(file, row.line, f"{kind}_refused", f"{kind} {named[kind]!r} was refused, so it is left out")
            for kind in refused
        ]
        return replace(row, doubts=(*row.doubts, *(f"{kind}_refused" for kind in refused)))

    def _opportunity(self, row: OpportunityRow) -> Decide:
        mapping, start_of_day = self._mapping, self._calendar.start_of_day
        parties = steps.Parties(
            account_id=self._ids.get(("account", row.account or "")),
            owner_id=self._ids.get(("person", row.owner or "")),
            team_id=self._ids.get(self._team_of.get(row.owner or "", ("", ""))),
            product_id=self._ids.get(("product", row.product or "")),
        )
        wanted = steps.opening(row, mapping, start_of_day, parties)

        async def decide(work: Work) -> JsonObject:
            if self._dry_run and self._process_is_new:  # it was not written, so each decision defines it for itself
                await define_process(work, mapping.process.key, self._process)
            before = len(work.pending)
            versions = (await work.state(PROCESS, mapping.process.key)).state.versions

            def due(state: OpportunityState) -> Sequence[object]:
                new = any(isinstance(pending.event, OpportunityOpened) for pending in work.pending)
                if state.process != mapping.process.key:
                    raise refuse("process_fixed", f"it runs under the process {state.process!r}, for good")
                process = versions[state.process_version - 1]
                return steps.steps(state, row, wanted, mapping, process, start_of_day, new=new)

            answer = await upsert(work, mapping.system, row.id, wanted, anyone, due, calendar=self._calendar)
            return {
                "id": answer["opportunity_id"],
                "created": answer["created"],
                "events": len(work.pending) - before,
            }

        return decide

    def _row(self, file: str, line: int, answer: JsonObject | Exception) -> None:
        """Count a row. Raises what is no refusal: the run ends, and what it has written stays."""
        count = self.result.counts[file]
        if isinstance(answer, RefusedError):
            self.result.rejections.append(Finding(file, line, answer.reasons[0].code, str(answer)))
            count["rejected"] += 1
            return
        if isinstance(answer, Exception):
            raise answer
        count["taken"] += 1
        count["created" if answer["created"] else "changed" if answer["events"] else "unchanged"] += 1
        self.result.events += answer["events"]

    def _written(self, service: str, last: int) -> None:
        self.result.last[service] = max(self.result.last[service], last)

    def _context(self, occurred_at: datetime | None = None) -> CommandContext:
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


def _one(task: Task) -> Decide:
    async def decide(work: Work) -> JsonObject:
        before = len(work.pending)
        entity_id = await task.act(work)
        events = len(work.pending) - before
        created = events > 0 and work.expected.get(f"{task.key[0]}-{entity_id}") == 0
        return {"id": entity_id, "created": created, "events": events}

    return decide


@contextmanager
def _seldom_collecting_garbage() -> Iterator[None]:
    """Collections would walk over all that is kept, again and again: a fifth of the time of a large import."""
    thresholds = gc.get_threshold()
    gc.set_threshold(RARELY, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
