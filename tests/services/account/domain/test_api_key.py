"""API keys: who may issue and rotate them, how long their secrets are good, and that revoking is for ever."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from services.account.domain import api_key
from services.account.domain.api_key import ApiKeyState, IssueApiKey, RevokeApiKey, RotateApiKey
from services.account.domain.person import PersonInput
from services.account.entities import API_KEY
from shared.contracts.account import ApiKeyIssued, ApiKeyRevoked, ApiKeyRotated
from shared.contracts.event import Event
from shared.testing.given import START, Given, given

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
END = START + 90 * DAY
OLD, NEW = "a" * 64, "b" * 64
MINE = frozenset({"operations", "integration"})
ISSUED = ApiKeyIssued(
    name="ERP", secret_sha256=OLD, roles=("integration",), scopes=("account:read", "account:write"), expires_at=END
)
REVOKED = ApiKeyRevoked(reason="lost")


def on(*facts: Event) -> Given[ApiKeyState]:
    """After these, one an hour from START on."""
    return given(API_KEY, facts)


def issuing(expires_at: datetime = END, *roles: str) -> Callable[[ApiKeyState], list[Event]]:
    command = IssueApiKey(
        name="ERP", roles=roles or ("integration",), scopes=("account:write", "account:read"), expires_at=expires_at
    )
    return lambda state: api_key.decide_issue(state, command, OLD, MINE, START)


def rotating(
    at: datetime = START, *, roles: frozenset[str] = MINE, **said: Any
) -> Callable[[ApiKeyState], list[Event]]:
    return lambda state: api_key.decide_rotate(state, RotateApiKey(**said), NEW, roles, at)


def rotated(older_until: datetime, expires_at: datetime = END) -> ApiKeyRotated:
    return ApiKeyRotated(secret_sha256=NEW, older_until=older_until, expires_at=expires_at)


def test_a_key_is_issued_once() -> None:
    on().when(issuing()).then(ISSUED)
    on(ISSUED).when(issuing()).refused("already_issued")


def test_nobody_issues_a_key_with_roles_that_he_does_not_have() -> None:
    on().when(issuing(END, "integration", "finance")).refused("role_missing")


@pytest.mark.parametrize("expires_at", [START, START - HOUR, START + 401 * DAY])
def test_a_key_ends_and_not_too_late(expires_at: datetime) -> None:
    on().when(issuing(expires_at)).refused("bad_expiry")


@pytest.mark.parametrize("wrong", [{"roles": ["emperor"]}, {"roles": []}, {"scopes": ["moon:read"]}, {"scopes": []}])
def test_what_a_key_may_do_is_said_in_known_words(wrong: dict[str, Any]) -> None:
    good = {"name": "ERP", "roles": ["integration"], "scopes": ["account:read"], "expires_at": END}
    IssueApiKey.model_validate(good)
    with pytest.raises(ValidationError):
        IssueApiKey.model_validate(good | wrong)


def test_after_a_rotation_the_old_secret_is_good_for_a_day_or_as_asked() -> None:
    on(ISSUED).when(rotating()).then(rotated(START + DAY))
    on(ISSUED).when(rotating(overlap_seconds=3600)).then(rotated(START + HOUR))
    on(ISSUED).when(rotating(overlap_seconds=0)).then(rotated(START))


def test_a_rotation_may_move_the_end_and_the_old_secret_keeps_its_own() -> None:
    later = END + 90 * DAY
    on(ISSUED).when(rotating(END - HOUR, expires_at=later)).then(rotated(END, later))
    on(ISSUED).when(rotating(END + HOUR, expires_at=later)).then(rotated(END, later))
    on(ISSUED).when(rotating(END + HOUR)).refused("bad_expiry")


def test_whoever_rotates_a_key_has_all_of_its_roles() -> None:
    on(ISSUED).when(rotating(roles=frozenset({"operations"}))).refused("role_missing")


def test_only_so_many_secrets_are_good_at_once() -> None:
    many = [ISSUED, *[rotated(START + 30 * DAY)] * api_key.MOST_OLDER]
    on(*many).when(rotating(START + DAY)).refused("too_many_secrets")
    on(*many).when(rotating(START + DAY, overlap_seconds=0)).then(rotated(START + DAY))
    on(*many).when(rotating(START + 31 * DAY)).then(rotated(START + 32 * DAY))


def test_a_later_rotation_prolongs_no_secret() -> None:
    state = on(ISSUED, rotated(START + 2 * DAY), rotated(START + 5 * DAY)).state
    assert state.older == (START + 2 * DAY, START + 5 * DAY)


def test_a_rotation_without_overlap_ends_every_older_secret() -> None:
    assert on(ISSUED, rotated(START + 30 * DAY), rotated(START + 2 * HOUR)).state.older == ()


def test_a_key_is_revoked_once_and_for_ever() -> None:
    revoke = RevokeApiKey(reason="lost")
    on(ISSUED).when(lambda state: api_key.decide_revoke(state, revoke)).then(REVOKED)
    on(ISSUED, REVOKED).when(lambda state: api_key.decide_revoke(state, RevokeApiKey(reason="again"))).nothing()
    on(ISSUED, REVOKED).when(rotating()).refused("key_revoked")


def test_a_key_is_no_person() -> None:
    with pytest.raises(ValidationError, match="no person"):
        PersonInput(name="王芳", subject="api-key:0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d")
