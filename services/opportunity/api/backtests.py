"""Back-tests: what a rule would have done to what is on record, and how those deals ended (R5)."""

from datetime import date
from typing import Annotated
from uuid import UUID, uuid5

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.api.asking import AskingNow, OutcomeCode
from services.opportunity.api.backtest_told import Backtest, BacktestRow, act_told, backtest_told
from services.opportunity.api.cursors import after_of
from services.opportunity.api.firings import Version, within_days
from services.opportunity.api.gates import RULE_EXAMPLE
from services.opportunity.api.roles import MAY_DEFINE
from services.opportunity.backtesting import table
from services.opportunity.backtesting.run import Ask
from services.opportunity.backtesting.start import start
from services.opportunity.domain.gates.book import GateBook, unknown_gate
from services.opportunity.domain.gates.rule import faults_of
from services.opportunity.projections.gates import gates
from services.opportunity.queries.gates import read_book
from shared.contracts.opportunity import EntityId, GateRule
from shared.contracts.opportunity.gates import Key
from shared.contracts.refusal import RefusedError, refuse
from shared.kit.ids import new_id
from shared.kit.moments import Moment
from shared.web.commanding import PROBLEMS, Commanding
from shared.web.language import Language, LanguageNow
from shared.web.paging import DEFAULT_LIMIT, CursorText, Limit, Page, page_of
from shared.web.problems import unavailable

router = APIRouter(tags=["gates"], dependencies=[MAY_DEFINE])
BacktestId = Annotated[EntityId, Path(description="The back-test.")]
_QUESTION = ["backtests"]
_KEYS = UUID("1f0e4f5e-5d27-4a43-8a0b-7b1f3a6f2c55")


class AskBacktest(BaseModel):
    """Either a `rule` that is only thought of, or a stored `gate`, default its last version; over acts from the day `from` to the
    day `to`, default all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: GateRule | None = None
    gate: Key | None = None
    version: Version | None = None
    first_day: date | None = Field(default=None, alias="from")
    last_day: date | None = Field(default=None, alias="to")


class BacktestPage(Page[Backtest]):
    """Newest first. The oldest are not kept for ever."""


class RowsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    outcome: OutcomeCode | None = Field(default=None, description="How the opportunity stands now.")
    cursor: CursorText = None
    limit: Limit = DEFAULT_LIMIT


class BacktestRows(Page[BacktestRow]):
    """By opportunity. `left_out`: so many more are only in the figures."""

    left_out: int


_EXAMPLES = {
    "a stored gate": {"value": {"gate": "win_on_record", "from": "2017-01-01"}},
    "a rule thought of": {"value": {"rule": RULE_EXAMPLE}},
}


@router.post("/gates/backtest", include_in_schema=False, status_code=202)
@router.post("/gates/backtests", status_code=202, summary="Try a rule on what is on record",
             operation_id="start_backtest", responses=PROBLEMS)  # fmt: skip
async def ask_backtest(
    body: Annotated[AskBacktest, Body(openapi_examples=_EXAMPLES)],
    response: Response,
    request: Request,
    command: Commanding,
    language: LanguageNow,
) -> Backtest:
    """It runs in a process of its own; ask for it at its `Location`. With an `Idempotency-Key`, a retry finds the same one."""
    backend, context, root = command.backend, command.context, str(request.scope.get("root_path", ""))
    run_id = new_id() if context.command_id is None else uuid5(_KEYS, context.command_id)
    sent = body.model_dump(mode="json", by_alias=True, exclude_unset=True)
    since, until = within_days(body.first_day, body.last_day, backend.calendar)
    # Given back before the back-test takes its own: whoever held one while waiting for one more could wait for ever.
    async with backend.reads.connect(gates) as connection:
        if not context.dry_run and await table.known(connection, str(run_id), sent):
            return await _answer(str(run_id), connection, response, language, root)
        rule, version = _rule(body, (await read_book(connection)).book)
    ask = Ask.of(rule, backend.calendar, gate=body.gate, version=version, since=since, until=until)
    if context.dry_run:
        return Backtest.asked(str(run_id), ask, command.caller.subject, context.now)
    try:
        await start(backend, run_id, sent, ask, command.caller.subject, context.now)
    except table.TooManyRunningError:
        said = f"{table.AT_ONCE} back-tests are running: wait for one of them"
        raise unavailable("too_many_backtests", said) from None
    async with backend.engine.connect() as connection:
        return await _answer(str(run_id), connection, response, language, root)


@router.get("/gates/backtest", include_in_schema=False)
@router.get("/gates/backtests", summary="Back-tests", operation_id="backtests", responses=PROBLEMS)
async def list_backtests(asking: AskingNow, cursor: CursorText = None, limit: Limit = DEFAULT_LIMIT) -> BacktestPage:
    """Those that run and those that are over."""
    values = after_of(_QUESTION, cursor, Moment, EntityId)
    after = None if values is None else (values[0], values[1])
    found = await table.latest(asking.connection, limit + 1, after)
    rows, following = page_of(found, limit, _QUESTION, lambda row: (row["requested_at"], row["id"]))
    items = [backtest_told(row, asking.language, asking.root) for row in rows]
    return BacktestPage(items=items, next_cursor=following)


@router.get("/gates/backtests/{run_id}", summary="A back-test: how far it is, and what came out",
            operation_id="backtest", responses=PROBLEMS)  # fmt: skip
async def one_backtest(run_id: BacktestId, asking: AskingNow) -> Backtest:
    """How far it is, and, once it is over, what the rule would have stopped and how that ended."""
    return backtest_told(await _row(run_id, asking.connection), asking.language, asking.root)


@router.get("/gates/backtests/{run_id}/rows", summary="The acts that the rule would have fired on",
            operation_id="backtest_rows", responses=PROBLEMS)  # fmt: skip
async def backtest_rows(run_id: BacktestId, ask: Annotated[RowsQuery, Query()], asking: AskingNow) -> BacktestRows:
    """Every act that the rule would have stopped, and how the opportunity stands now."""
    question = ["backtest", run_id, ask.outcome]
    values = after_of(question, ask.cursor, Annotated[int, Field(ge=0, le=10**9)])
    result = (await _row(run_id, asking.connection))["result"] or {"rows_left_out": 0}
    after = None if values is None else values[0]
    found = await table.acts(asking.connection, run_id, ask.outcome, ask.limit + 1, after)
    rows, cursor = page_of(found, ask.limit, question, lambda row: (row["number"],))
    items = [act_told(row["told"], asking.language) for row in rows]
    return BacktestRows(items=items, next_cursor=cursor, left_out=result["rows_left_out"])


def _rule(body: AskBacktest, book: GateBook) -> tuple[GateRule, int | None]:
    """The rule, and its version if it is a stored one. Raises RefusedError."""
    if (body.rule is None) == (body.gate is None):
        expected = "a rule, or the key of a stored gate"
        raise refuse("bad_backtest", "name one rule to try", field="rule", expected=expected, kind="input")
    if body.rule is not None:
        faults = tuple(faults_of(body.rule))
        if faults:
            raise RefusedError(faults, "input")
        return body.rule, None
    versions = book.versions(str(body.gate))
    if not versions:
        raise unknown_gate(book, str(body.gate))
    number = body.version or len(versions)
    if number > len(versions):
        fault = f"gate {body.gate} has no version {number}"
        raise refuse("unknown_version", fault, field="version", expected=f"1 to {len(versions)}", kind="input")
    return versions[number - 1].rule, number


async def _answer(
    run_id: str, connection: AsyncConnection, response: Response, language: Language, root: str
) -> Backtest:
    response.headers["Location"] = f"{root}/gates/backtests/{run_id}"
    return backtest_told(await _row(run_id, connection), language, root)


async def _row(run_id: str, connection: AsyncConnection) -> RowMapping:
    row = await table.one(connection, run_id)
    if row is None:
        raise refuse("not_found", f"there is no back-test {run_id}", expected="see /gates/backtests", kind="missing")
    return row
