"""Each time that a gate fired: the rows behind the figures of its effectiveness (R5)."""

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from services.opportunity import gate_labels, labels
from services.opportunity.api.asking import EARLIEST, LATEST, Asking, AskingNow, OutcomeCode
from services.opportunity.api.cursors import after_of
from services.opportunity.api.gate_words import LackingTold, lacking_told
from services.opportunity.api.names import Named, names_of
from services.opportunity.api.roles import MAY_READ
from services.opportunity.api.rows import Coded, coded
from services.opportunity.queries import effectiveness as queries
from services.opportunity.queries.effectiveness import Fired
from shared.contracts.opportunity import EntityId, Lacking
from shared.contracts.opportunity.gates import Key
from shared.kit.calendar import BusinessCalendar
from shared.kit.moments import Moment
from shared.kit.money import Money
from shared.web.commanding import PROBLEMS
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page, page_of
from shared.web.problems import bad_request
from shared.web.reading import PlainText

router = APIRouter(tags=["gates"], dependencies=[MAY_READ])
VerdictCode = Literal["warned", "stopped", "waived"]
VERDICTS: tuple[VerdictCode, ...] = ("warned", "stopped", "waived")
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Days(BaseModel):
    """From the day `from` to the day `to`; default: ever."""

    model_config = ConfigDict(extra="forbid")

    first_day: date | None = Field(default=None, alias="from", description="The first day.")
    last_day: date | None = Field(default=None, alias="to", description="The last day.")


class EffectQuery(Days):
    """What gates did."""

    gate: Key | None = Field(default=None, description="What one gate did.")
    gate_version: Version | None = Field(default=None, description="In which version.")


class ReportQuery(EffectQuery):
    cursor: CursorText = None
    limit: Limit = DEFAULT_LIMIT


class FiringQuery(ReportQuery):
    verdict: VerdictCode | None = Field(default=None, description="What it did.")
    outcome: OutcomeCode | None = Field(default=None, description="How the opportunity stands now.")
    approved_by: Annotated[PlainText, Field(max_length=200)] | None = Field(default=None, description="A login.")


class FiringItem(BaseModel):
    """A gate that warned, stopped somebody, or was passed on a waiver. `actor`: who tried, by login."""

    opportunity: Named
    owner: Named | None
    outcome: Coded
    amount: Money | None
    gate: str
    gate_version: int
    act: Coded
    stage: int | None
    verdict: Coded
    lacking: list[LackingTold]
    waiver_id: str | None
    approved_by: str | None
    actor: str
    recorded_at: datetime


class FiringPage(Page[FiringItem]):
    """Newest first."""


@router.get("/gates/firings", summary="Each time that a gate fired", operation_id="gate_firings", responses=PROBLEMS)
async def firings(ask: Annotated[FiringQuery, Query()], asking: AskingNow) -> FiringPage:
    """Warned, stopped, or passed on a waiver; the newest first."""
    question = ["firings", ask.model_dump(mode="json", exclude={"cursor", "limit"})]
    values = after_of(question, ask.cursor, Moment, EntityId, Version)
    asked = fired(ask, asking)
    after = None if values is None else (values[0], values[1], values[2])
    found = await queries.firings(asking.connection, asking.scope, asked, ask.limit + 1, after)
    rows, cursor = page_of(
        found, ask.limit, question, lambda row: (row["recorded_at"], row["opportunity_id"], row["version"])
    )
    names = await names_of(asking.connection, asking.language, {"owner": [row["owner_id"] for row in rows]})
    items = [
        FiringItem(
            **{name: row[name] for name in _AS_IT_IS},
            opportunity=Named(id=row["opportunity_id"], name=row["name"]),
            owner=names.one("owner", row["owner_id"]),
            outcome=coded(labels.OUTCOMES, row["outcome"], asking.language),
            amount=None if row["currency"] is None else Money(minor=row["amount_minor"], currency=row["currency"]),
            act=coded(gate_labels.ACTS, row["act"], asking.language),
            verdict=coded(gate_labels.VERDICTS, row["verdict"], asking.language),
            lacking=[lacking_told(Lacking.model_validate(one), asking.language) for one in row["lacking"]],
        )
        for row in rows
    ]
    return FiringPage(items=items, next_cursor=cursor)


_AS_IT_IS = ("gate", "gate_version", "stage", "waiver_id", "approved_by", "actor", "recorded_at")


def within_days(
    first: date | None, last: date | None, calendar: BusinessCalendar
) -> tuple[datetime | None, datetime | None]:
    """[since, until) of the days; None: open. Raises ProblemError 400 for days that are no period."""
    if not EARLIEST <= (first or EARLIEST) <= (last or LATEST) <= LATEST:
        expected = f"from, then to, both within {EARLIEST.year} to {LATEST.year}"
        raise bad_request("bad_period", f"{first} to {last} is no period", field="from", expected=expected)
    since = None if first is None else calendar.start_of_day(first)
    return since, None if last is None else calendar.end_of_day(last)


def between(ask: Days, asking: Asking) -> tuple[datetime | None, datetime | None]:
    return within_days(ask.first_day, ask.last_day, asking.backend.calendar)


def fired(ask: EffectQuery, asking: Asking) -> Fired:
    since, until = between(ask, asking)
    more = ask if isinstance(ask, FiringQuery) else FiringQuery()
    return Fired(
        gate=ask.gate,
        gate_version=ask.gate_version,
        verdict=more.verdict,
        outcome=more.outcome,
        approved_by=more.approved_by,
        since=since,
        until=until,
    )
