"""Rows of lists and boards: an opportunity in brief, with names and labels in the caller's language."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import RowMapping, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity import labels
from services.opportunity.api.asking import Asking
from services.opportunity.api.names import Named, NamesOf, names_of
from services.opportunity.labels import Words, word
from services.opportunity.projections.processes import definition
from shared.contracts.opportunity import BuyingStage, ProcessDefined, SellingStage
from shared.kit.money import Money
from shared.web.language import Language, label


class Coded(BaseModel):
    """A code, and its label in the language of the request."""

    code: str
    label: str


class Stage(Coded):
    number: int


class Sum(BaseModel):
    """`count` opportunities are worth `minor` (smallest units of the currency) together."""

    currency: str
    minor: int
    count: int


class Totals(BaseModel):
    """`count`: all rows, also those without an amount; a sum per currency."""

    count: int
    sums: list[Sum]


class Judged(BaseModel):
    """What a manager expects instead; null: as it is on record."""

    amount: Money | None
    close_date: date | None


class OpportunityRow(BaseModel):
    """`stage`: the working stage, completed + 1. Probabilities in per cent. Days by the business calendar, at `as_of`."""

    id: str
    name: str
    account: Named | None
    owner: Named | None
    team: Named | None
    process: Coded
    process_version: int
    stage: Stage
    buying_stage: Stage
    completed_stage: int
    entered_stage: int | None
    probability_low: int
    probability_high: int
    synchrony: Coded
    decision_due: bool = Field(description="It is at risk, and nobody has decided to catch up or to give up.")
    funnel_state: Coded
    priority: Coded | None = Field(description="By close date and probability on the day; null: it has ended.")
    forecast: Coded | None = Field(description="What may be counted on; null: it ended, and was not won.")
    judged: Judged | None = Field(description="A manager's word beside; null: nobody has another in mind.")
    outcome: Coded
    outcome_since: datetime
    reason: str | None
    competitor: str | None
    amount: Money | None
    close_date: date | None
    pushed_out: int = Field(description="How often the close date was put off.")
    assessment: int | None = Field(description="The latest total, in hundredths of a point.")
    assessment_decision: Coded | None
    visits: int = Field(description="Spent on it so far.")
    minutes: int = Field(description="Working time spent on it so far.")
    flags: list[Coded]
    external_ids: dict[str, str]
    opened_at: datetime
    updated_at: datetime
    age_days: int
    days_in_stage: int
    version: int = Field(description="of the opportunity, at `as_of`")


Processes = Mapping[tuple[str, int], ProcessDefined]


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Makes rows in one language at one moment."""

    asking: Asking
    at: datetime
    names: NamesOf
    processes: Processes

    def row(self, found: RowMapping) -> OpportunityRow:
        language, calendar = self.asking.language, self.asking.backend.calendar
        process = self.processes[found["process"], found["process_version"]]
        today = calendar.day_of(self.at)
        amount = None
        if found["currency"] is not None:
            amount = Money(minor=found["amount_minor"], currency=found["currency"])
        return OpportunityRow(
            id=found["opportunity_id"],
            name=found["name"],
            account=self.names.one("account", found["account_id"]),
            owner=self.names.one("owner", found["owner_id"]),
            team=self.names.one("team", found["team_id"]),
            process=Coded(code=process.key, label=label(process.names, language, process.key)),
            process_version=process.version,
            stage=stage_of(process.selling, found["working_stage"], language),
            buying_stage=stage_of(process.buying, found["buying_stage"], language),
            completed_stage=found["completed_stage"],
            entered_stage=found["entered_stage"],
            probability_low=found["probability_low"],
            probability_high=found["probability_high"],
            synchrony=coded(labels.SYNCHRONY, found["synchrony"], language),
            decision_due=found["decision_due"],
            funnel_state=coded(labels.FUNNEL_STATES, found["funnel_state"], language),
            priority=coded_or_none(labels.PRIORITIES, found["priority"], language),
            forecast=coded_or_none(labels.FORECASTS, found["forecast"], language),
            judged=judged_in(found),
            outcome=coded(labels.OUTCOMES, found["outcome"], language),
            outcome_since=found["outcome_since"],
            reason=found["reason"],
            competitor=found["competitor"],
            amount=amount,
            close_date=found["close_date"],
            pushed_out=len(found["pushed_out_at"]),
            assessment=found["assessment_total"],
            assessment_decision=coded_or_none(labels.ASSESSMENT_DECISIONS, found["assessment_decision"], language),
            visits=found["visits"],
            minutes=found["minutes"],
            flags=[coded(labels.FLAGS, flag, language) for flag in found["flags"]],
            external_ids=found["external_ids"],
            opened_at=found["opened_at"],
            updated_at=found["updated_at"],
            age_days=(today - calendar.day_of(found["opened_at"])).days,
            days_in_stage=(today - calendar.day_of(found["stage_since"])).days,
            version=found["version"],
        )


def judged_in(found: RowMapping) -> Judged | None:
    if found["judged_minor"] is None and found["judged_close_date"] is None:
        return None
    amount = None
    if found["judged_currency"] is not None:
        amount = Money(minor=found["judged_minor"], currency=found["judged_currency"])
    return Judged(amount=amount, close_date=found["judged_close_date"])


async def row_maker(asking: Asking, found: Sequence[RowMapping], as_of: datetime | None) -> RowMaker:
    """With what the rows need to be told in words."""
    ids = {kind: [row[f"{kind}_id"] for row in found] for kind in ("account", "owner", "team")}
    names = await names_of(asking.connection, asking.language, ids)
    used = {(row["process"], row["process_version"]) for row in found}
    return RowMaker(asking, as_of or asking.now, names, await processes_of(asking.connection, used))


async def processes_of(connection: AsyncConnection, used: Iterable[tuple[str, int]]) -> Processes:
    wanted = [(definition.c.key == key) & (definition.c.version == version) for key, version in sorted(used)]
    if not wanted:
        return {}
    rows = await connection.execute(select(definition.c.process).where(or_(*wanted)))
    defined = [ProcessDefined.model_validate(process) for process in rows.scalars()]
    return {(process.key, process.version): process for process in defined}


def stage_of(stages: Sequence[SellingStage | BuyingStage], number: int, language: Language) -> Stage:
    stage = stages[number - 1]
    return Stage(number=number, code=stage.code, label=label(stage.names, language, stage.code))


def coded(words: Words, code: str, language: Language) -> Coded:
    return Coded(code=code, label=word(words, code, language))


def coded_or_none(words: Words, code: str | None, language: Language) -> Coded | None:
    return None if code is None else coded(words, code, language)


def totals_of(rows: Iterable[Mapping[str, Any] | RowMapping]) -> Totals:
    """From counts and amounts by currency."""
    count, sums = 0, []
    for row in rows:
        count += row["count"]
        if row["currency"] is not None:
            sums.append(Sum(currency=row["currency"], minor=int(row["amount_minor"]), count=row["count"]))
    return Totals(count=count, sums=sums)


def summed(counted: Sequence[RowMapping]) -> Iterator[dict[str, Any]]:
    """Figures of groups, put together by currency."""
    for currency in sorted({row["currency"] for row in counted}, key=lambda one: (one is None, one)):
        rows = [row for row in counted if row["currency"] == currency]
        amount = sum(int(row["amount_minor"]) for row in rows)
        yield {"currency": currency, "count": sum(row["count"] for row in rows), "amount_minor": amount}
