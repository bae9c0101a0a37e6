"""What can be done with API keys. The secret comes from outside as its digest, and never gets in here."""

from collections.abc import Collection

from services.account.domain import api_key
from services.account.domain.api_key import IssueApiKey, RevokeApiKey, RotateApiKey
from services.account.entities import API_KEY
from shared.eventstore.commands import Work


async def issue_api_key(work: Work, key_id: str, command: IssueApiKey, digest: str, roles: Collection[str]) -> str:
    """Under an id made just now. Refuses `role_missing`, `bad_expiry`."""
    work.primary = API_KEY.stream_id(key_id)
    state = work.born(API_KEY, key_id).state
    work.append(API_KEY, key_id, *api_key.decide_issue(state, command, digest, roles, work.context.now))
    return key_id


async def rotate_api_key(work: Work, key_id: str, command: RotateApiKey, digest: str, roles: Collection[str]) -> str:
    """Refuses `not_found`, `role_missing`, `key_revoked`, `bad_expiry`, `too_many_secrets`."""
    state = (await work.state(API_KEY, key_id, must_exist=True)).state
    work.append(API_KEY, key_id, *api_key.decide_rotate(state, command, digest, roles, work.context.now))
    return key_id


async def revoke_api_key(work: Work, key_id: str, command: RevokeApiKey) -> str:
    """Refuses `not_found`."""
    state = (await work.state(API_KEY, key_id, must_exist=True)).state
    work.append(API_KEY, key_id, *api_key.decide_revoke(state, command))
    return key_id
