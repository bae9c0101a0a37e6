"""The change waterfall (R2): how the pipeline became another between two moments of either clock; bars open into their steps."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from pydantic import Field

from services.opportunity.api.asking import Asking, AskingNow, Narrowing
from services.opportunity.api.converting import Converting, converter
from services.opportunity.api.groups import FILTER_OF, labeller
from services.opportunity.api.roles import MAY_READ
from services.opportunity.api.waterfall_file import waterfall_file
from services.opportunity.api.waterfall_told import Links, Rows, Waterfall, told
from services.opportunity.labels import word
from services.opportunity.pipeline_labels import BARS
from services.opportunity.queries.funnel import counts
from services.opportunity.queries.moment import OPEN
from services.opportunity.queries.moves import Between, Clock, PartBy
from services.opportunity.queries.view import RESULT, Belonging, View
from services.opportunity.queries.waterfall import bars
from shared.web.commanding import PROBLEMS
from shared.web.export import FILES, AcceptedNow, Exported
from shared.web.problems import bad_request

router = APIRouter(tags=["pipeline"], dependencies=[MAY_READ])
_MOMENT = "A day (its end, by the business calendar) or a moment."
_CLOCK = (
    "`business`: what was so when, by what is known (`known_at`). `knowledge`: what we took to be so when; a fact that was learned "
    "late counts when it was learned."
)


class Spanning(Narrowing):
    """Between which moments, and of which opportunities: each filter asks for who was a member then, state by state.

    With `closing` a member is expected to close in that period, and what its close date does is told as pulled in or pushed out.
    """

    first: str = Field(alias="from", max_length=40, description=f"The opening. {_MOMENT}", examples=["2017-03-31"])
    last: str = Field(alias="to", max_length=40, description=f"The closing. {_MOMENT}", examples=["2017-06-30"])
    clock: Clock = Field(default="business", description=_CLOCK)
    known_at: str | None = Field(
        default=None, max_length=40, description=f"By what was known then, on the clock of business. {_MOMENT}"
    )
    belonging: Belonging = Field(
        default=RESULT,
        description="Whose it counts as: whose it was `then`, so that a handover is a move; or is `now`, so that it is none.",
    )


class WaterfallQuery(Spanning, Converting, Exported):
    group_by: PartBy | None = Field(
        default=None,
        description="A waterfall for each, told apart: what passes from one to the other moves out and in.",
    )


async def spanned(asking: Asking, ask: Spanning) -> tuple[View, Between]:
    """Raises ProblemError 400 for moments in the wrong order, and for a second moment of knowledge."""
    start, end = asking.moment(ask.first, "from"), asking.moment(ask.last, "to")
    if end is not None and (start is None or start > end):
        raise bad_request(
            "bad_period", f"from {ask.first} comes after to {ask.last}", field="from", expected="from, then to"
        )
    if ask.clock == "knowledge" and ask.known_at is not None:
        raise bad_request(
            "bad_clock",
            "known_at beside clock=knowledge: from and to are moments of knowledge already",
            field="known_at",
            expected="clock=business",
        )
    between = Between(ask.clock, start, end, asking.moment(ask.known_at, "known_at"))
    filters, calendar = await asking.chosen(ask), asking.backend.calendar
    return View(asking.scope, asking.now, filters=filters, belonging=ask.belonging, calendar=calendar), between


@router.get(
    "/pipeline/waterfall",
    summary="What changed the pipeline",
    operation_id="waterfall",
    response_model=Waterfall,
    responses={**PROBLEMS, 200: {"content": FILES}},
)
async def waterfall(
    ask: Annotated[WaterfallQuery, Query()], asking: AskingNow, accepted: AcceptedNow
) -> Waterfall | Response:
    """opening + new + up − down + pulled_in + moved_in − pushed_out − moved_out + reopened − lost − abandoned − won = closing, for
    each currency, in money and in number. Opening and closing are not computed from the bars: they are the pipeline as it was."""
    found, form = await _waterfall(ask, asking), ask.format or accepted
    return found if form == "json" else await waterfall_file(form, found, asking)


async def _waterfall(ask: WaterfallQuery, asking: Asking) -> Waterfall:
    view, between = await spanned(asking, ask)
    by = [ask.group_by] if ask.group_by else []
    opening = await counts(asking.connection, between.at_start(view), by)
    closing = await counts(asking.connection, between.at_end(view), by)
    moved = await bars(asking.connection, view, between, ask.group_by)
    given = {row["currency"] for row in (*opening, *closing, *moved)}
    known_at = between.known_at if ask.clock == "business" else between.end
    beside = await converter(asking, ask, given, between.end, known_at)
    names = await labeller(asking.connection, asking.language, [*opening, *closing, *moved])
    links = _Links(ask, asking)
    return Waterfall(
        clock=ask.clock,
        start=between.start or asking.now,
        end=between.end or asking.now,
        known_at=between.known_at,
        closing=ask.closing,
        belonging=ask.belonging,
        group_by=ask.group_by,
        parts=told(ask.group_by, Rows(opening, moved, closing), names, links, beside),
        rate_on=beside.on if beside else None,
        rates=beside.used if beside else [],
    )


class _Links(Links):
    """To the lists behind opening and closing, and to the steps behind a bar."""

    def __init__(self, ask: WaterfallQuery, asking: Asking) -> None:
        self._ask, self._asking = ask, asking

    def label(self, bar: str) -> str:
        return word(BARS, bar, self._asking.language)

    def standing(self, moment: str, part: Any, currency: str | None) -> str:
        at = self._ask.first if moment == "opening" else self._ask.last
        clocks = {"known_at": at}
        if self._ask.clock == "business":
            clocks = {"as_of": at} | ({"known_at": self._ask.known_at} if self._ask.known_at else {})
        return self._asking.list_link(
            self._ask, **{**self._part(part), **clocks}, outcome=list(OPEN), currency=currency
        )

    def steps(self, bar: str, part: Any, currency: str | None) -> str:
        said = self._ask.model_dump(mode="json", by_alias=True, include=set(Spanning.model_fields))
        said = {name: value for name, value in said.items() if value not in (None, "", [])}
        chosen = {name: "none" if value is None else value for name, value in self._part(part).items()}
        asked = said | chosen | {"bar": bar, "bar_currency": currency or "none"}
        return f"{self._asking.root}/pipeline/waterfall/steps?{urlencode(asked, doseq=True)}"

    def _part(self, part: Any) -> dict[str, Any]:
        return {FILTER_OF[self._ask.group_by]: part} if self._ask.group_by else {}
