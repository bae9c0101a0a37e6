"""`POST /accounts:batch`: many accounts in one request, each a command of its own."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import Field

from services.account.api.asking import HOUSE_ROLES, created, upserted
from services.account.commands import register_account, upsert_account
from services.account.domain.account import AccountInput
from services.account.domain.values import Command, ExternalId, System, Value
from services.account.entities import ACCOUNT
from services.account.loading.run import Item, Result, run_items
from shared.eventstore.commands import Decide, Outcome
from shared.web.auth import needs
from shared.web.commanding import (
    LARGEST_BATCH,
    PROBLEMS,
    BatchAnswer,
    BatchItem,
    CommandAnswer,
    Commander,
    Commanding,
    furthest,
)
from shared.web.problems import answer_to, tell

router = APIRouter(tags=["accounts"])


class External(Value):
    """Which account of which other system it is: made if new, else changed where it differs."""

    system: System
    external_id: ExternalId


class AccountOfBatch(AccountInput):
    """`parent` may be another account of the same batch, by its external id, wherever it stands."""

    external: External | None = None


class AccountBatch(Value):
    items: tuple[AccountOfBatch, ...] = Field(
        min_length=1,
        max_length=LARGEST_BATCH,
        examples=[[{"name": "华东电网", "external": {"system": "crm", "external_id": "A-1"}}]],
    )


@router.post(
    "/accounts:batch",
    summary="Register or change many accounts",
    dependencies=[Depends(needs(*HOUSE_ROLES))],
    responses=PROBLEMS,
)
async def post_accounts(body: AccountBatch, command: Commanding) -> BatchAnswer:
    items = [_item(index, account) for index, account in enumerate(body.items)]
    results = await run_items(command, items)
    told = [await _told(command, index, result) for index, result in enumerate(results)]
    accepted = sum(item.answer is not None for item in told)
    positions = [item.answer.position for item in told if item.answer and item.answer.position]
    return BatchAnswer(accepted=accepted, refused=len(told) - accepted, position=furthest(positions), items=told)


def _item(index: int, account: AccountOfBatch) -> Item:
    external, parent = account.external, account.parent
    key = None if external is None else (external.system, external.external_id)
    above = None if parent is None or parent.id else (parent.system, parent.external_id)
    return Item(index, account, partial(_decide, external), key, above)


def _decide(external: External | None, body: Command) -> Decide:
    account: Any = body
    if external is None:
        return created(lambda work: register_account(work, account))
    system, external_id = external.system, external.external_id
    return upserted(ACCOUNT, system, external_id, lambda work: upsert_account(work, system, external_id, account))


async def _told(command: Commander, index: int, result: Result) -> BatchItem:
    if isinstance(result, Outcome):
        answer = CommandAnswer(**await command.answer(result))
        return BatchItem(index=index, status=201 if answer.created else 200, answer=answer)
    problem = answer_to(result, command.path)  # the other items are done, whatever became of this one
    told = tell(problem, f"{command.path}#{index}", command.context.correlation_id.hex)
    return BatchItem(index=index, status=problem.status, problem=told)
