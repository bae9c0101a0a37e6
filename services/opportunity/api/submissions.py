"""Submitted forecasts (R2): made for a period, and kept as they were."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import ConfigDict, Field

from services.opportunity.api.asking import Asking, AskingNow, CurrencyOrNone
from services.opportunity.api.cursors import after_of
from services.opportunity.api.references import OrganisationNow
from services.opportunity.api.roles import MAY_COMMAND, MAY_READ, MIGRATING
from services.opportunity.api.submissions_file import lines_file, submissions_file
from services.opportunity.api.submissions_told import (
    LinePage,
    SubmissionDetail,
    SubmissionPage,
    items_of,
    lines_told,
    submitted_lines,
)
from services.opportunity.domain.forecast.submission import Holder, SubmitForecast, open_period
from services.opportunity.forecasting import submit_forecast
from services.opportunity.queries import submissions as queries
from services.opportunity.queries.scope import led_teams, teams_below
from services.opportunity.queries.snapshot import snapshot
from services.opportunity.queries.submission_lines import LineFilters, lines, lines_of
from services.opportunity.queries.submissions import SubmissionFilters
from services.opportunity.queries.view import View
from shared.contracts.opportunity import Code, EntityId
from shared.contracts.opportunity.forecast import PeriodLabel
from shared.contracts.refusal import refuse
from shared.eventstore.commands import Work
from shared.eventstore.types import JsonObject
from shared.kit.moments import Moment
from shared.kit.money import Currency
from shared.web.commanding import ANSWERS, PROBLEMS, Commander, Commanding
from shared.web.export import FILES, MOST_ROWS, AcceptedNow, Exported
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, page_of
from shared.web.problems import bad_request

router = APIRouter(tags=["forecast"])
HolderOf = Literal["person", "team"]


class SubmissionChoice(Exported):
    """Filters may be given several times."""

    model_config = ConfigDict(extra="forbid")

    holder_kind: list[HolderOf] = Field(default=[], max_length=2, description="Of people, of teams, or of both.")
    holder: list[EntityId] = Field(default=[], max_length=100, description="People and teams.")
    period: list[PeriodLabel] = Field(default=[], max_length=100, description="For which periods.")
    standing: bool | None = Field(default=None, description="Superseded by none, or by one.")
    within: str | None = Field(default=None, max_length=20, description="Periods within this one.", examples=["FY2026"])
    ended: bool | None = Field(default=None, description="Only periods that have ended.")
    days_from: int | None = Field(default=None, ge=0, le=4_000, description="Before the last day of the period.")
    days_to: int | None = Field(default=None, ge=0, le=4_000, description="So many days before at most.")
    process: Code | None = Field(default=None, description="With `stage`: one of its lines stood there.")
    stage: int | None = Field(default=None, ge=1, le=40, description="With `process`: the number of the working stage.")
    cursor: CursorText = None
    limit: Limit = DEFAULT_LIMIT


class SubmissionQuery(SubmissionChoice):
    """Which submissions, which page."""

    currency: list[Currency] = Field(
        default=[], max_length=20, description="In which something was expected, judged or won."
    )
    judged: bool = Field(default=False, description="Only those in which a manager judged, in one of the currencies.")


class LineQuery(SubmissionChoice):
    """Lines of which submissions, in which stage, in which currency, which page."""

    currency: list[CurrencyOrNone] = Field(default=[], max_length=20, description="Of the amount.")


@router.post("/forecast/submissions", status_code=201, summary="Submit a forecast", operation_id="submit_forecast",
             dependencies=[MAY_COMMAND], **ANSWERS)  # fmt: skip
async def submit(
    body: Annotated[SubmitForecast, Body(openapi_examples={"for oneself": {"value": {"period": "2026-Q4"}}})],
    request: Request,
    command: Commanding,
    organisation: OrganisationNow,
    asking: AskingNow,
) -> Response:
    """For a period that has not ended, as everything stands now. It is never changed; the next one supersedes it."""
    known = await organisation.known([body])
    calendar = command.backend.calendar

    async def decide(work: Work) -> JsonObject:
        # All of it here: whoever asks again under the same key gets the first answer, also when the period is over.
        known.check([body])
        _check_migrated(body, command)
        period = open_period(body.period, calendar, body.occurred_at or asking.now)
        holder = await _holder(body, command, asking)
        view = View(asking.scope, asking.now, body.occurred_at, calendar=calendar)
        return await submit_forecast(
            work, body, holder, period, await snapshot(asking.connection, view, holder, period)
        )

    location = f"{request.scope.get('root_path', '')}/forecast/submissions/"
    return await command.run(body, decide, status=201, location=location)


@router.get("/forecast/submissions", summary="Submitted forecasts", operation_id="submissions", response_model=SubmissionPage,
            dependencies=[MAY_READ], responses={**PROBLEMS, 200: {"content": FILES}})  # fmt: skip
async def list_submissions(
    ask: Annotated[SubmissionQuery, Query()], asking: AskingNow, accepted: AcceptedNow
) -> SubmissionPage | Response:
    """One's own, those of people below, and of teams all of which the caller sees."""
    filters = replace(_filters(ask, asking), currency=tuple(ask.currency), judged=ask.judged)
    form = ask.format or accepted
    if form != "json":
        return await submissions_file(
            form, await queries.submissions(asking.connection, asking.scope, filters, MOST_ROWS + 1), asking
        )
    question = ["submissions", ask.model_dump(mode="json", exclude={"cursor", "limit", "format"})]
    values = after_of(question, ask.cursor, Moment, EntityId)
    after = None if values is None else (values[0], values[1])
    found = await queries.submissions(asking.connection, asking.scope, filters, ask.limit + 1, after)
    rows, cursor = page_of(found, ask.limit, question, lambda row: (row["submitted_at"], row["submission_id"]))
    return SubmissionPage(items=await items_of(rows, asking), next_cursor=cursor)


@router.get("/forecast/submissions/lines", summary="Lines of submitted forecasts", operation_id="submission_lines",
            response_model=LinePage, dependencies=[MAY_READ],
            responses={**PROBLEMS, 200: {"content": FILES}})  # fmt: skip
async def list_lines(
    ask: Annotated[LineQuery, Query()], asking: AskingNow, accepted: AcceptedNow
) -> LinePage | Response:
    """Of submissions that the caller sees: what was still to be won when they were made, and was counted on."""
    place = None if ask.process is None or ask.stage is None else (ask.process, ask.stage)
    of = LineFilters(place, tuple(None if one == "none" else one for one in ask.currency))
    filters = _filters(ask, asking)
    form = ask.format or accepted
    if form != "json":
        return await lines_file(form, await lines(asking.connection, asking.scope, filters, of, MOST_ROWS + 1), asking)
    question = ["submission lines", ask.model_dump(mode="json", exclude={"cursor", "limit", "format"})]
    values = after_of(question, ask.cursor, Moment, EntityId, EntityId)
    after = None if values is None else (values[0], values[1], values[2])
    found = await lines(asking.connection, asking.scope, filters, of, ask.limit + 1, after)
    order = ("submitted_at", "submission_id", "opportunity_id")
    rows, cursor = page_of(found, ask.limit, question, lambda row: tuple(row[name] for name in order))
    return LinePage(items=await submitted_lines(rows, asking), next_cursor=cursor)


@router.get("/forecast/submissions/{submission_id}", summary="A submitted forecast", operation_id="submission",
            dependencies=[MAY_READ], responses=PROBLEMS)  # fmt: skip
async def one(
    submission_id: Annotated[EntityId, Path(description="The submission.")], asking: AskingNow
) -> SubmissionDetail:
    """As it was submitted: its figures, and its lines."""
    there, row = await queries.one_submission(asking.connection, asking.scope, submission_id)
    if not there:
        expected = "see /forecast/submissions"
        raise refuse("not_found", f"there is no submission {submission_id}", expected=expected, kind="missing")
    if row is None:
        raise refuse("not_yours", "it is of somebody whose deals you do not see", kind="forbidden")
    [item] = await items_of([row], asking)
    its = await lines_of(asking.connection, asking.scope, (row["book"], row["version"]))
    return SubmissionDetail(**dict(item), opportunities=await lines_told(its, asking))


def _filters(ask: SubmissionChoice, asking: Asking) -> SubmissionFilters:
    if (ask.process is None) != (ask.stage is None):
        raise bad_request("bad_stage", "process and stage go together", field="stage", expected="both or none")
    calendar = asking.backend.calendar
    return SubmissionFilters(
        holder_kind=tuple(ask.holder_kind),
        holder=tuple(ask.holder),
        period=tuple(ask.period),
        standing=ask.standing,
        within=None if ask.within is None else asking.days_of(ask.within, "within"),
        ended=calendar.day_of(asking.now) if ask.ended else None,
        days=None if ask.days_from is None and ask.days_to is None else (ask.days_from or 0, ask.days_to),
        stage=None if ask.process is None or ask.stage is None else (ask.process, ask.stage),
        time_zone=calendar.time_zone,
    )


def _check_migrated(body: SubmitForecast, command: Commander) -> None:
    """Raises RefusedError: only those who bring deals in say what was submitted elsewhere, for whom and when."""
    said = [name for name in ("person_id", "occurred_at") if getattr(body, name) is not None]
    if said and not command.caller.roles & MIGRATING:
        raise refuse(
            "migration_only",
            "that is for forecasts brought in from another system",
            field=said[0],
            expected=f"nothing: it is your own, and of now; or one of the roles {', '.join(sorted(MIGRATING))}",
            kind="forbidden",
        )


async def _holder(body: SubmitForecast, command: Commander, asking: Asking) -> Holder:
    """Raises RefusedError: for a team that the caller does not lead, and for a login that is nobody."""
    person, brought_in = command.scope.person_id, bool(command.caller.roles & MIGRATING)
    if body.team_id is not None:
        led = frozenset[str]() if person is None else await led_teams(asking.connection, person, asking.now)
        if body.team_id not in led and not brought_in:
            raise refuse(
                "not_led", "you do not lead that team", field="team_id", expected="a team of yours", kind="forbidden"
            )
        return Holder("team", body.team_id, await teams_below(asking.connection, body.team_id))
    if body.person_id is not None:
        return Holder("person", body.person_id)
    if person is None:
        raise refuse(
            "no_person",
            f"nobody of ours logs in as {command.caller.subject!r}",
            expected="a login of a person, or team_id",
            kind="forbidden",
        )
    return Holder("person", person)
