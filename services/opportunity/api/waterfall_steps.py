"""The steps behind the bars of a waterfall: what each did to the pipeline, and the events that it was."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from services.opportunity import labels
from services.opportunity.api.asking import Asking, AskingNow, CurrencyOrNone
from services.opportunity.api.cursors import after_of
from services.opportunity.api.names import Named, NamesOf, names_of
from services.opportunity.api.roles import MAY_READ
from services.opportunity.api.rows import Coded, coded
from services.opportunity.api.waterfall import Spanning, spanned
from services.opportunity.labels import GROUPS, word
from services.opportunity.pipeline_labels import BARS, HEADS
from services.opportunity.queries.moves import Bar, Between
from services.opportunity.queries.view import View
from services.opportunity.queries.waterfall import AfterStep, Chosen, all_steps, count_steps, facts_behind, steps
from shared.contracts.opportunity import EntityId
from shared.kit.moments import Moment
from shared.web.commanding import PROBLEMS
from shared.web.export import FILES, AcceptedNow, Column, Exported, export, whole_units
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page, page_of

router = APIRouter(tags=["pipeline"], dependencies=[MAY_READ])
AT_ONCE = 500  # rows of a file that are made together: others wait for no more


class StepsQuery(Spanning, Exported):
    """Which steps: those of a waterfall, of one bar and currency."""

    bar: Bar | None = Field(default=None, description="Default: all of them.")
    bar_currency: list[CurrencyOrNone] = Field(
        default=[],
        max_length=100,
        description="In which it moved the pipeline; unlike `currency` no condition on members.",
    )
    cursor: CursorText = None
    limit: Limit = DEFAULT_LIMIT


class EventBehind(Coded):
    """`code` is the event's type; `position` is where it stands in `/events`, `version` where in the opportunity's history."""

    position: int
    version: int
    id: str


class StepRow(BaseModel):
    """`minor` and `count`: what it adds to the pipeline's money and number, with their signs. Whose it is after the step."""

    opportunity: Named
    at: datetime
    bar: Coded
    currency: str | None
    minor: int
    count: int
    owner: Named | None
    team: Named | None
    account: Named | None
    events: list[EventBehind]
    history: str


class StepPage(Page[StepRow]):
    """In order of time. `total`: of all pages."""

    total: int


@router.get(
    "/pipeline/waterfall/steps",
    summary="What is behind a bar",
    operation_id="waterfall_steps",
    response_model=StepPage,
    responses={**PROBLEMS, 200: {"content": FILES}},
)
async def waterfall_steps(
    ask: Annotated[StepsQuery, Query()], asking: AskingNow, accepted: AcceptedNow
) -> StepPage | Response:
    """A step may be told twice: an amount in another currency goes down in the old one and up in the new."""
    view, between = await spanned(asking, ask)
    chosen = Chosen(ask.bar, tuple(None if one == "none" else one for one in ask.bar_currency))
    form = ask.format or accepted
    if form != "json":
        columns = _columns(asking)
        pages = _all(asking, view, between, chosen)
        return await export(form, "steps", columns, pages, asking.backend.calendar.time_zone)
    question = ["steps", ask.model_dump(mode="json", exclude={"cursor", "limit", "format"})]
    values = after_of(question, ask.cursor, Moment, EntityId, Annotated[int, Field(ge=0, le=20)])
    after = None if values is None else AfterStep(*values)
    found = await steps(asking.connection, view, between, chosen, ask.limit + 1, after)
    rows, cursor = page_of(found, ask.limit, question, lambda row: (row["at"], row["opportunity_id"], row["place"]))
    total = await count_steps(asking.connection, view, between, chosen)
    return StepPage(items=await step_rows(asking, between, rows), next_cursor=cursor, total=total)


@dataclass(frozen=True, slots=True)
class _Maker:
    asking: Asking
    names: NamesOf
    facts: Mapping[tuple[str, datetime], Sequence[RowMapping]]

    def row(self, step: RowMapping) -> StepRow:
        language, opportunity_id = self.asking.language, step["opportunity_id"]
        behind = self.facts.get((opportunity_id, step["at"]), ())
        return StepRow(
            opportunity=Named(id=opportunity_id, name=step["name"]),
            at=step["at"],
            bar=coded(BARS, step["bar"], language),
            currency=step["currency"],
            minor=int(step["minor"]),
            count=int(step["count"]),
            owner=self.names.one("owner", step["owner_id"]),
            team=self.names.one("team", step["team_id"]),
            account=self.names.one("account", step["account_id"]),
            events=[
                EventBehind(
                    code=one["type_name"],
                    label=word(labels.EVENTS, one["type_name"], language),
                    position=one["position"],
                    version=one["version"],
                    id=one["event_id"],
                )
                for one in behind
            ],
            history=f"{self.asking.root}/opportunities/{opportunity_id}/history",
        )


async def step_rows(asking: Asking, between: Between, found: Sequence[RowMapping]) -> list[StepRow]:
    ids = {kind: [row[f"{kind}_id"] for row in found] for kind in ("owner", "team", "account")}
    names = await names_of(asking.connection, asking.language, ids)
    maker = _Maker(asking, names, await facts_behind(asking.connection, between, found))
    return [maker.row(row) for row in found]


async def _all(asking: Asking, view: View, between: Between, chosen: Chosen) -> AsyncIterator[list[StepRow]]:
    async for found in all_steps(asking.connection, view, between, chosen, AT_ONCE):
        yield await step_rows(asking, between, found)


def _columns(asking: Asking) -> list[Column[StepRow]]:
    def head(code: str) -> str:
        return word(HEADS, code, asking.language)

    def group(code: str) -> str:
        return word(GROUPS, code, asking.language)

    return [
        Column(head("at"), lambda row: row.at),
        Column(head("id"), lambda row: row.opportunity.id),
        Column(head("opportunity"), lambda row: row.opportunity.name),
        Column(head("bar"), lambda row: row.bar.label),
        Column(head("currency"), lambda row: row.currency),
        Column(head("delta"), lambda row: whole_units(row.minor, row.currency) if row.currency else None),
        Column(head("number"), lambda row: row.count),
        Column(group("owner"), lambda row: row.owner.name if row.owner else None),
        Column(group("team"), lambda row: row.team.name if row.team else None),
        Column(group("account"), lambda row: row.account.name if row.account else None),
        Column(head("events"), lambda row: ", ".join(f"{one.label} ({one.position})" for one in row.events)),
    ]
