"""Which opportunities a question is about: filters, the moment on both clocks, whose they count as."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.api.defined import check_processes
from services.opportunity.domain.process import Synchrony
from services.opportunity.projections import READ_MODELS
from services.opportunity.queries.view import RESULT, WORK_LIST, Belonging, Filters, View
from shared.contracts.opportunity import Code, FunnelState
from shared.kit.calendar import Period
from shared.kit.moments import Moment
from shared.kit.money import currency_digits
from shared.service.backend import Backend
from shared.service.visibility import Scope
from shared.web.commanding import BackendNow, ScopeNow
from shared.web.language import Language, LanguageNow
from shared.web.problems import bad_request
from shared.web.reading import PlainText, moment_of, reading


def _currency(value: str) -> str:
    if value != "none":
        currency_digits(value)
    return value


AHEAD = timedelta(minutes=5)  # clocks differ a little
EARLIEST, LATEST = date(1970, 1, 1), date(2199, 12, 31)
Connection = Annotated[AsyncConnection, Depends(reading(*READ_MODELS), scope="function")]
# One pattern and not a choice of types, so that what is wrong is named by the parameter alone.
_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
IdOrNone = Annotated[str, Field(pattern=f"^(none|{_UUID})$", examples=["0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d"])]
StageAsked = Annotated[str, Field(pattern="^([1-9]|[1-3][0-9]|40|[a-z][a-z0-9_-]{0,59})$", examples=["discovery"])]
CurrencyOrNone = Annotated[str, AfterValidator(_currency), Field(pattern="^(none|[A-Z]{3})$", examples=["CNY"])]
_MOMENT = "A day (its end, by the business calendar) or a moment; default now."
_SEVERAL = 100
WHOSE = (
    "Whose it is for owner, team and account: whose it is `now`, or whose it was `then`: when it ended, or at `as_of`."
)
PriorityOrNone = Literal["A", "B", "C", "D", "none"]
ForecastOrNone = Literal["pipeline", "best_case", "commit", "closed", "omitted", "none"]
OutcomeCode = Literal["open", "paused", "won", "lost", "abandoned"]


class Clocks(BaseModel):
    """A moment on both clocks."""

    model_config = ConfigDict(extra="forbid")

    as_of: str | None = Field(
        default=None,
        max_length=40,
        description=f"How it was then, in business time. {_MOMENT}",
        examples=["2017-06-30"],
    )
    known_at: str | None = Field(
        default=None, max_length=40, description=f"By what was known then. {_MOMENT}", examples=["2017-06-30"]
    )


class Narrowing(BaseModel):
    """Filters; each may be given several times and narrows to any of its values. `none`: those that have none."""

    model_config = ConfigDict(extra="forbid")

    owner: list[IdOrNone] = Field(default=[], max_length=_SEVERAL, description="Who of us answers for it.")
    team: list[IdOrNone] = Field(
        default=[], max_length=_SEVERAL, description="Which team works on it, that team alone."
    )
    account: list[IdOrNone] = Field(
        default=[], max_length=_SEVERAL, description="With everything below the account in its tree."
    )
    only_account: list[IdOrNone] = Field(
        default=[], max_length=_SEVERAL, description="The account alone, nothing below it."
    )
    process: list[Code] = Field(default=[], max_length=_SEVERAL, description="The key of its sales process.")
    stage: list[StageAsked] = Field(
        default=[], max_length=_SEVERAL, description="The working stage, completed + 1: its number or its code."
    )
    state: list[FunnelState] = Field(
        default=[], max_length=_SEVERAL, description="The funnel state that its buying stage stands for."
    )
    synchrony: list[Synchrony] = Field(
        default=[], max_length=4, description="Working stage against buying stage: `at_risk` is two or more behind."
    )
    decision_due: bool | None = Field(
        default=None, description="At risk, and nobody has decided to catch up or to give up."
    )
    currency: list[CurrencyOrNone] = Field(default=[], max_length=_SEVERAL, description="Of the amount.")
    flag: list[Code] = Field(default=[], max_length=_SEVERAL, description="What is doubtful about it: any of these.")
    q: PlainText = Field(
        default="",
        max_length=200,
        description="Words that must all occur, in Chinese or Latin; parts of words will do.",
    )
    closing: str | None = Field(
        default=None,
        max_length=20,
        description="Expected to close within this period of the business calendar.",
        examples=["2017-Q4"],
    )
    belonging: Belonging = Field(default=WORK_LIST, description=WHOSE)


class Selection(Narrowing, Clocks):
    """Filters, at a moment on both clocks."""

    updated_after: Moment | None = Field(default=None, description="Recorded after this moment.")
    priority: list[PriorityOrNone] = Field(
        default=[], max_length=5, description="By close date and probability on the day; `none`: what has ended."
    )
    forecast: list[ForecastOrNone] = Field(
        default=[], max_length=6, description="What may be counted on; `none`: what ended, and was not won."
    )


class Choice(Selection):
    """Filters, those by outcome among them."""

    outcome: list[OutcomeCode] = Field(
        default=[], max_length=5, description="How it stands, or how it ended; default: all of them."
    )


class Within(Selection):
    """What happened within a period: `period`, or the days `from` to `to`; default the current fiscal year."""

    period: str | None = Field(
        default=None, max_length=20, description="A period of the business calendar.", examples=["2017-Q1"]
    )
    first_day: date | None = Field(default=None, alias="from", description="The first day of the period.")
    last_day: date | None = Field(default=None, alias="to", description="The last day of the period.")
    belonging: Belonging = Field(default=RESULT, description=WHOSE)


@dataclass(frozen=True)
class Asking:
    """Who asks, in which language, on which read models."""

    backend: Backend
    connection: AsyncConnection
    scope: Scope
    language: Language
    root: str

    @property
    def now(self) -> datetime:
        return self.backend.clock.now()

    def moment(self, text: str | None, field: str) -> datetime | None:
        """A moment on one of the clocks; None for now. Raises ProblemError 400 for one to come."""
        found = moment_of(text, field, self.backend.calendar)
        now = self.now
        if found is None or found <= now:
            return found
        if found <= now + AHEAD or (len(text or "") == 10 and self.backend.calendar.day_of(now) == _day(text)):
            return None
        raise bad_request(
            "future_moment", f"{field} {text} has not come yet", field=field, expected="today or earlier; default now"
        )

    async def view(self, ask: Selection, filters: Filters | None = None) -> View:
        """What the parameters ask for. `filters`: in place of those that every question has.

        Raises RefusedError (kind input) for a process, and for the code of a stage, that nobody has defined.
        """
        return View(
            scope=self.scope,
            now=self.now,
            as_of=self.moment(ask.as_of, "as_of"),
            known_at=self.moment(ask.known_at, "known_at"),
            filters=await self.chosen(ask, filters),
            belonging=ask.belonging,
            calendar=self.backend.calendar,
        )

    async def chosen(self, ask: Narrowing, filters: Filters | None = None) -> Filters:
        """The filters, what they name being known. Raises as `view`, and ProblemError 400 for what is no period."""
        await check_processes(self.connection, ask.process, [one for one in ask.stage if not one.isdigit()])
        found = filters or filters_of(ask)
        return found if ask.closing is None else replace(found, closing=self.days_of(ask.closing, "closing"))

    def days_of(self, label: str, field: str) -> tuple[date, date]:
        """The first and the last day of a period. Raises ProblemError 400 for what is none."""
        period = self.period_named(label, field)
        return period.first_day, period.last_day

    def period_named(self, label: str, field: str) -> Period:
        """Raises ProblemError 400 for what is none."""
        try:
            return self.backend.calendar.asked(label)
        except ValueError as error:
            raise bad_request("bad_period", str(error), field=field, expected="such as 2017-Q4") from None

    def period(self, ask: Within) -> Period:
        """Raises ProblemError 400 for what is no period, and for a period that ends before it begins."""
        calendar = self.backend.calendar
        if ask.period is not None:
            if ask.first_day or ask.last_day:
                raise bad_request("bad_period", "both period and from/to", field="period", expected="one of them")
            return self.period_named(ask.period, "period")
        if ask.first_day is None and ask.last_day is None:
            return calendar.period_of(self.moment(ask.as_of, "as_of") or self.now, "year")
        first, last = ask.first_day or EARLIEST, ask.last_day or calendar.day_of(self.now)
        if not EARLIEST <= first <= last <= LATEST:
            expected = f"from, then to, both within {EARLIEST.year} to {LATEST.year}"
            raise bad_request("bad_period", f"{first} to {last} is no period", field="from", expected=expected)
        start, end = calendar.start_of_day(first), calendar.end_of_day(last)
        return Period("day", f"{first}/{last}", start, end, first, last)

    def list_link(self, ask: Narrowing | Clocks, to: str = "/opportunities", **chosen: Any) -> str:
        """The list (at the path `to`) of the rows behind a figure: the same question, narrowed to what the figure counts."""
        said = ask.model_dump(mode="json", include=_SHARED)
        said = {name: value for name, value in said.items() if value not in (None, "", [])} | chosen
        asked = {name: _text(value) for name, value in said.items()}
        return f"{self.root}{to}?{urlencode(asked, doseq=True)}" if asked else f"{self.root}{to}"


async def _asking(
    request: Request, backend: BackendNow, connection: Connection, scope: ScopeNow, language: LanguageNow
) -> Asking:
    return Asking(backend, connection, scope, language, str(request.scope.get("root_path", "")))


AskingNow = Annotated[Asking, Depends(_asking)]
_SHARED = set(Choice.model_fields)


def filters_of(ask: Narrowing) -> Filters:
    return Filters(
        owner=_ids(ask.owner),
        team=_ids(ask.team),
        account=_ids(ask.account),
        only_account=_ids(ask.only_account),
        process=tuple(ask.process),
        stage=tuple(int(one) if one.isdigit() else one for one in ask.stage),
        state=tuple(ask.state),
        synchrony=tuple(ask.synchrony),
        decision_due=ask.decision_due,
        outcome=tuple(ask.outcome) if isinstance(ask, Choice) else (),
        currency=_ids(ask.currency),
        flag=tuple(ask.flag),
        q=ask.q,
        updated_after=ask.updated_after if isinstance(ask, Selection) else None,
        priority=_ids(ask.priority) if isinstance(ask, Selection) else (),
        forecast=_ids(ask.forecast) if isinstance(ask, Selection) else (),
    )


def _ids(values: Iterable[str]) -> tuple[str | None, ...]:
    """`none` means those that have none."""
    return tuple(dict.fromkeys(None if value == "none" else value for value in values))


def _text(value: Any) -> Any:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat()
    return value


def _day(text: str | None) -> date:
    return date.fromisoformat(text or "")
