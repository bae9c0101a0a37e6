"""What can be done with accounts."""

from services.account.domain import account
from services.account.domain.account import AccountInput, AccountParent
from services.account.domain.tree import DEEPEST
from services.account.domain.values import Reference
from services.account.entities import ACCOUNT
from services.account.identities import above, begin, find, link_new, reclaim, resolve, take
from shared.eventstore.commands import Work
from shared.kit.ids import new_id


async def register_account(work: Work, command: AccountInput) -> str:
    account_id = str(new_id())
    state = begin(work, ACCOUNT, account_id)
    chain = await _accounts_above(work, command.parent)
    work.append(ACCOUNT.aggregate, account_id, *account.decide_register(state, command, chain))
    await _company_code(work, account_id, state.code)
    return account_id


async def upsert_account(work: Work, system: str, external_id: str, command: AccountInput) -> str:
    account_id = await find(work, ACCOUNT, system, external_id)
    if account_id is None:
        account_id = await register_account(work, command)
        await link_new(work, ACCOUNT, account_id, system, external_id)
        return account_id
    state = await take(work, ACCOUNT, account_id)
    work.append(ACCOUNT.aggregate, account_id, *account.decide_rename(state, command))
    await change_account_details(work, account_id, command)
    work.append(ACCOUNT.aggregate, account_id, *account.decide_flags(state, command))
    if "parent" in command.model_fields_set:
        await move_account(work, account_id, AccountParent(parent=command.parent))
    return account_id


async def rename_account(work: Work, account_id: str, command: account.AccountName) -> str:
    state = await take(work, ACCOUNT, account_id)
    work.append(ACCOUNT.aggregate, account_id, *account.decide_rename(state, command))
    return account_id


async def change_account_details(work: Work, account_id: str, command: account.AccountDetails) -> str:
    state = await take(work, ACCOUNT, account_id)
    work.append(ACCOUNT.aggregate, account_id, *account.decide_details(state, command))
    await _company_code(work, account_id, state.code)
    return account_id


async def flag_account(work: Work, account_id: str, command: account.AccountFlags) -> str:
    state = await take(work, ACCOUNT, account_id)
    work.append(ACCOUNT.aggregate, account_id, *account.decide_flags(state, command))
    return account_id


async def move_account(work: Work, account_id: str, command: AccountParent) -> str:
    """Refuses `cycle`, `tree_too_deep`, `unknown_account`."""
    state = await take(work, ACCOUNT, account_id)
    chain = await _accounts_above(work, command.parent)
    work.append(ACCOUNT.aggregate, account_id, *account.decide_move(state, account_id, chain))
    return account_id


async def _accounts_above(work: Work, parent: Reference | None) -> list[str]:
    if parent is None:
        return []
    parent_id = await resolve(work, ACCOUNT, parent, "parent")
    return await above(work, ACCOUNT, lambda state: state.parent_id, parent_id, DEEPEST)


async def _company_code(work: Work, account_id: str, former: str | None) -> None:
    """A company code addresses the account too, so it is claimed like an external id."""
    now = (await work.state(ACCOUNT.aggregate, account_id)).state.code
    await reclaim(work, ACCOUNT, account_id, "uscc", former, now, "unified_social_credit_code")
