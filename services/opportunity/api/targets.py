"""Targets (R2): who is to win how much within which period; every word on record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from services.opportunity.api.asking import Asking, AskingNow, Clocks
from services.opportunity.api.columns import file_of
from services.opportunity.api.cursors import after_of
from services.opportunity.api.names import Named
from services.opportunity.api.references import OrganisationNow
from services.opportunity.api.roles import MAY_READ
from services.opportunity.api.rows import Coded
from services.opportunity.api.submissions_told import holders_of
from services.opportunity.api.targets_file import target_columns
from services.opportunity.domain.forecast.targets import SetTarget, check_not_over
from services.opportunity.forecasting import set_target
from services.opportunity.queries import targets as queries
from services.opportunity.queries.scope import led_teams, teams_led
from services.opportunity.queries.targets import TargetFilters
from shared.contracts.opportunity import EntityId, HolderKind
from shared.contracts.opportunity.forecast import PeriodLabel
from shared.contracts.refusal import RefusedError, refuse
from shared.eventstore.commands import Work
from shared.eventstore.types import JsonObject
from shared.kit.moments import Moment
from shared.kit.money import Currency, Money
from shared.web.auth import needs
from shared.web.commanding import ANSWERS, PROBLEMS, Commander, Commanding
from shared.web.export import FILES, MOST_ROWS, AcceptedNow, Exported
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page, page_of

router = APIRouter(tags=["forecast"])
MAY_SET = Depends(needs("manager", "executive", "operations"))
_ASKED = {
    "holder_kind": "person",
    "holder_id": "0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d",
    "period": "2026-Q4",
    "amount": {"minor": 3_000_000_00, "currency": "CNY"},
}


class TargetQuery(Clocks, Exported):
    """Filters may be given several times. `as_of`: what counted then."""

    holder_kind: list[HolderKind] = Field(default=[], max_length=3, description="Whose targets: of a kind.")
    holder: list[EntityId] = Field(default=[], max_length=100, description="People and teams.")
    period: list[PeriodLabel] = Field(default=[], max_length=100, description="Of which periods.")
    currency: list[Currency] = Field(default=[], max_length=100, description="In which currencies.")
    history: bool = Field(default=False, description="Also words that do not count, or not any more.")
    cursor: CursorText = None
    limit: Limit = DEFAULT_LIMIT


class TargetItem(BaseModel):
    """`holder` null: the company. Effective from `effective_from` on, as `actor` said at `recorded_at`. 0: nothing is asked."""

    holder_kind: Coded
    holder: Named | None
    period: str
    first_day: date
    last_day: date
    amount: Money
    note: str | None
    effective_from: datetime
    recorded_at: datetime
    actor: str


class TargetPage(Page[TargetItem]):
    """The last effective first; of each holder, period and currency the word that counts, with `history` all."""


@router.get("/targets", summary="Targets", operation_id="targets", dependencies=[MAY_READ], response_model=TargetPage,
            responses={**PROBLEMS, 200: {"content": FILES}})  # fmt: skip
async def list_targets(
    ask: Annotated[TargetQuery, Query()], asking: AskingNow, accepted: AcceptedNow
) -> TargetPage | Response:
    """Those of the company, and of people and teams that the caller may see."""
    form = ask.format or accepted
    question = ["targets", ask.model_dump(mode="json", exclude={"cursor", "limit", "format"})]
    values = None if form != "json" else after_of(question, ask.cursor, Moment, Annotated[int, Field(ge=0, le=2**62)])
    said = ask.model_dump(include={"holder_kind", "holder", "period", "currency"})
    found = await queries.targets(
        asking.connection,
        asking.scope,
        TargetFilters(**{name: tuple(some) for name, some in said.items()}, history=ask.history),
        as_of=asking.moment(ask.as_of, "as_of"),
        known_at=asking.moment(ask.known_at, "known_at"),
        limit=ask.limit + 1 if form == "json" else MOST_ROWS + 1,
        after=None if values is None else (values[0], values[1]),
    )
    if form != "json":
        told = lambda some: _items(some, asking)  # noqa: E731
        return await file_of(
            form, "targets", target_columns(asking.language), found, told, asking.backend.calendar.time_zone
        )
    rows, cursor = page_of(found, ask.limit, question, lambda row: (row["effective_from"], row["position"]))
    return TargetPage(items=await _items(rows, asking), next_cursor=cursor)


@router.post(
    "/targets",
    summary="Set a target",
    operation_id="set_target",
    dependencies=[MAY_SET],
    **ANSWERS | {"responses": {**PROBLEMS, 201: {"description": "another target than before"}}},
)
async def set_one(
    body: Annotated[SetTarget, Body(openapi_examples={"of a person": {"value": _ASKED}})],
    command: Commanding,
    organisation: OrganisationNow,
    asking: AskingNow,
) -> Response:
    """By whoever sees everything; by a manager for people and teams below, never for oneself nor for a team that one leads oneself:
    its target is one's own. Once a period is over, executives and operations alone. What was said before stays on record, and
    counts as of then."""
    known = await organisation.known([body])
    led = Led()
    if command.scope.person_id is not None and not command.scope.everything:
        person = command.scope.person_id
        led = Led(
            await teams_led(asking.connection, person, asking.now),
            await led_teams(asking.connection, person, asking.now),
        )

    async def decide(work: Work) -> JsonObject:
        known.check([body])
        check_may_set(body, command, led)
        check_not_over(body, command.backend.calendar, asking.now, command.caller.roles)
        return await set_target(work, body, command.backend.calendar)

    return await command.run(body, decide, status=201)


@dataclass(frozen=True, slots=True)
class Led:
    """The teams that somebody leads: `own` oneself, `all` with those below."""

    own: frozenset[str] = frozenset()
    all: frozenset[str] = frozenset()


def check_may_set(body: SetTarget, command: Commander, led: Led) -> None:
    """Raises RefusedError (kind forbidden)."""
    scope = command.scope
    if body.holder_id is not None and body.holder_id == scope.person_id:
        raise refuse(
            "own_target",
            "nobody sets their own target",
            field="holder_id",
            expected="a manager above",
            kind="forbidden",
        )
    if scope.everything:
        return
    if body.holder_kind == "team" and body.holder_id in led.own:
        raise refuse(
            "own_target",
            "nobody sets the target of a team that they lead: it is their own",
            field="holder_id",
            expected="a manager above, or an executive",
            kind="forbidden",
        )
    below = led.all if body.holder_kind == "team" else scope.people if led.all else frozenset[str]()
    if body.holder_id not in below:
        raise _not_led(body.holder_kind)


def _not_led(kind: str) -> RefusedError:
    expected = "executives and operations set it" if kind == "company" else "a manager above, or an executive"
    return refuse("not_led", f"you do not lead the {kind}", field="holder_id", expected=expected, kind="forbidden")


async def _items(rows: Sequence[RowMapping], asking: Asking) -> list[TargetItem]:
    holders = await holders_of(rows, asking)
    same = ("period", "first_day", "last_day", "note", "effective_from", "recorded_at", "actor")
    return [
        TargetItem(
            **{field: row[field] for field in same},
            **holders(row),
            amount=Money(minor=row["minor"], currency=row["currency"]),
        )
        for row in rows
    ]
