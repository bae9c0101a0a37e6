"""What is abnormal (R2), since when and why; filtered, in order, page by page, as of any day."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from services.opportunity import labels
from services.opportunity.api.anomalies_file import anomaly_columns
from services.opportunity.api.asking import Asking, AskingNow, Clocks, Selection
from services.opportunity.api.columns import file_of
from services.opportunity.api.cursors import after_of
from services.opportunity.api.names import Named, NamesOf, names_of
from services.opportunity.api.roles import MAY_READ
from services.opportunity.api.rows import Coded, Processes, Stage, coded, processes_of, stage_of
from services.opportunity.domain.anomalies.causes import cause
from services.opportunity.domain.anomalies.limits import AnomalyLimits
from services.opportunity.domain.anomalies.opportunity import AnomalyCode
from services.opportunity.queries.anomalies import After, SortBy, anomalies, limits_of, page_of_all
from shared.contracts.refusal import refuse
from shared.kit.moments import Moment
from shared.kit.money import Money
from shared.projections.reads import NotYetVisibleError
from shared.web.commanding import PROBLEMS
from shared.web.export import FILES, MOST_ROWS, AcceptedNow, Exported
from shared.web.language import label
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page, page_of
from shared.web.reading import PlainText

router = APIRouter(tags=["pipeline"], dependencies=[MAY_READ])
_NO_STAGE = ("", "")


class AnomaliesQuery(Selection, Exported):
    """Filters narrow opportunities. What is about a person is left out under any of them but `owner` and `team`, for it is about
    all of the person's opportunities; `team` then means people who are in it."""

    code: list[AnomalyCode] = Field(default=[], max_length=6, description="What is abnormal; default: anything.")
    limits_version: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="Of the limits; default the latest."
    )
    sort: SortBy = Field(default="since", description="What has lasted longest first; `-since`: the newest first.")
    cursor: CursorText = None
    limit: Limit = DEFAULT_LIMIT


class AnomalyItem(BaseModel):
    """`value` exceeds `limit`: days in the stage · times the close date was put off · stages from selling to buying, negative:
    ahead · days to the close date, negative: it is over · opportunities in the stage · days without a new one. `cause` in the
    caller's language."""

    code: Coded
    cause: str
    en: str
    zh: str
    since: datetime
    value: int
    limit: int


class AnomalyRow(AnomalyItem):
    """`opportunity` is null for what is about a person, `owner`. `drill`: the opportunity, or the person's opportunities."""

    opportunity: Named | None
    owner: Named | None
    team: Named | None
    account: Named | None
    stage: Stage | None
    amount: Money | None
    drill: str


class AnomalyCount(BaseModel):
    code: Coded
    count: int
    drill: str


class AnomalyList(Page[AnomalyRow]):
    """`counts`: of all pages, by code."""

    counts: list[AnomalyCount]
    limits_version: int
    as_of: datetime | None
    known_at: datetime | None


@router.get("/pipeline/anomalies", summary="What is abnormal", operation_id="anomalies", response_model=AnomalyList,
            responses={**PROBLEMS, 200: {"content": FILES}})  # fmt: skip
async def list_anomalies(
    ask: Annotated[AnomaliesQuery, Query()], asking: AskingNow, accepted: AcceptedNow
) -> AnomalyList | Response:
    """Each with its cause in words, the limit, the value, and since when; limits are data under `/anomaly-limits`."""
    limits = await limits_in_force(asking, ask.limits_version)
    view = await asking.view(ask)
    form = ask.format or accepted
    if form != "json":
        every = await anomalies(asking.connection, view, limits, codes=ask.code, sort=ask.sort, limit=MOST_ROWS + 1)
        told_of = lambda some: _rows(some, ask, asking)  # noqa: E731
        return await file_of(
            form, "anomalies", anomaly_columns(asking.language), every, told_of, asking.backend.calendar.time_zone
        )
    question = ["anomalies", limits.version, ask.model_dump(mode="json", exclude={"cursor", "limit", "format"})]
    values = after_of(question, ask.cursor, Moment, PlainText, PlainText)
    after = None if values is None else After(*values)
    found, counted = await page_of_all(
        asking.connection, view, limits, codes=ask.code, sort=ask.sort, limit=ask.limit + 1, after=after
    )
    rows, cursor = page_of(found, ask.limit, question, lambda row: (row["since"], row["code"], row["about"]))
    return AnomalyList(
        items=await _rows(rows, ask, asking),
        next_cursor=cursor,
        counts=[
            AnomalyCount(
                code=coded(labels.ANOMALIES, code, asking.language),
                count=counted[code],
                drill=asking.list_link(ask, to="/pipeline/anomalies", code=code, limits_version=limits.version),
            )
            for code in labels.ANOMALIES
            if code in counted
        ],
        limits_version=limits.version,
        as_of=view.as_of,
        known_at=view.known_at,
    )


async def limits_in_force(asking: Asking, version: int | None = None) -> AnomalyLimits:
    """Raises RefusedError (missing) for a version that there is not; NotYetVisibleError while there is none at all: one is
    defined when the service is installed."""
    limits = await limits_of(asking.connection, version)
    if limits is not None:
        return limits
    if version is None:
        raise NotYetVisibleError("the limits of what is normal are not visible here yet")
    expected = "see /anomaly-limits/versions"
    raise refuse("not_found", f"there is no version {version} of the limits", expected=expected, kind="missing")


def told(code: AnomalyCode, since: datetime, value: int, limit: int, stage: tuple[str, str], asking: Asking) -> Any:
    """The fields of an AnomalyItem."""
    en, zh = cause(code, value, limit, stage)
    return {
        "code": coded(labels.ANOMALIES, code, asking.language),
        "cause": en if asking.language == "en" else zh,
        "en": en,
        "zh": zh,
        "since": since,
        "value": value,
        "limit": limit,
    }


async def _rows(rows: Sequence[RowMapping], ask: Clocks, asking: Asking) -> list[AnomalyRow]:
    names, processes = await _named(rows, asking)
    return [_row(row, ask, asking, names, processes) for row in rows]


async def _named(rows: Sequence[RowMapping], asking: Asking) -> tuple[NamesOf, Processes]:
    ids = {kind: [row[f"{kind}_id"] for row in rows] for kind in ("account", "owner", "team")}
    used = {(row["process"], row["process_version"]) for row in rows if row["process"] is not None}
    return await names_of(asking.connection, asking.language, ids), await processes_of(asking.connection, used)


def _row(row: RowMapping, ask: Clocks, asking: Asking, names: NamesOf, processes: Processes) -> AnomalyRow:
    stage = stage_names = None
    if row["process"] is not None:
        stages = processes[row["process"], row["process_version"]].selling
        stage = stage_of(stages, row["stage"], asking.language)
        selling = stages[row["stage"] - 1]
        stage_names = (label(selling.names, "en", selling.code), label(selling.names, "zh", selling.code))
    opportunity_id = row["opportunity_id"]
    amount = None if row["currency"] is None else Money(minor=row["amount_minor"], currency=row["currency"])
    return AnomalyRow(
        **told(row["code"], row["since"], row["value"], row["limit"], stage_names or _NO_STAGE, asking),
        opportunity=None if opportunity_id is None else Named(id=opportunity_id, name=row["name"]),
        owner=names.one("owner", row["owner_id"]),
        team=names.one("team", row["team_id"]),
        account=names.one("account", row["account_id"]),
        stage=stage,
        amount=amount,
        drill=_drill(row, ask, asking),
    )


def _drill(row: RowMapping, ask: Clocks, asking: Asking) -> str:
    clocks = Selection(as_of=ask.as_of, known_at=ask.known_at, belonging="then")
    if row["opportunity_id"] is not None:
        return asking.list_link(
            Clocks(as_of=ask.as_of, known_at=ask.known_at), to=f"/opportunities/{row['opportunity_id']}"
        )
    if row["code"] == "piled_up":
        place = {"process": row["process"], "stage": row["stage"], "outcome": "open"}
        return asking.list_link(clocks, owner=row["owner_id"], **place)
    return asking.list_link(clocks, owner=row["owner_id"], sort="-opened")
