"""An API key: what a program shows instead of a person's token. It narrows, ends by itself, is rotated and can be revoked.

Unlike other commands of this service these are always about now: what was good yesterday cannot be told to have been bad.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from services.account.domain.values import Text, Value
from shared.contracts.account import ApiKeyIssued, ApiKeyRevoked, ApiKeyRotated
from shared.contracts.event import Event, Recorded
from shared.contracts.refusal import refuse
from shared.kit.moments import Moment
from shared.kit.permissions import ROLES, SCOPES

LONGEST_LIFE = timedelta(days=400)  # a year, and time to see to it
LONGEST_OVERLAP = timedelta(days=30)
USUAL_OVERLAP = timedelta(hours=24)
MOST_OLDER = 5  # secrets of one key that are good beside its newest


def _words(known: Collection[str], what: str) -> AfterValidator:
    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [value for value in values if value not in known]:
            raise ValueError(f"there is no {what} {', '.join(unknown)}; there are {', '.join(known)}")
        return tuple(value for value in known if value in values)  # in one order, each once

    return AfterValidator(check)


_Word = Annotated[str, StringConstraints(max_length=60)]
Roles = Annotated[
    tuple[_Word, ...],
    Field(
        min_length=1,
        max_length=20,
        description=f"Of {', '.join(ROLES)}; none that the caller does not have.",
        examples=[["integration"]],
    ),
    _words(ROLES, "role"),
]
Scopes = Annotated[
    tuple[_Word, ...],
    Field(
        min_length=1,
        max_length=50,
        description=f"Of {', '.join(SCOPES)}. `read` is for GET and HEAD, `write` for everything else, dry runs too.",
        examples=[["account:read", "account:write"]],
    ),
    _words(SCOPES, "scope"),
]


class IssueApiKey(Value):
    name: Text = Field(description="What it is for: the program and where it runs.", examples=["ERP nightly import"])
    roles: Roles
    scopes: Scopes
    expires_at: Moment = Field(
        description=f"At most {LONGEST_LIFE.days} days ahead.", examples=["2027-06-30T00:00:00+08:00"]
    )


class RotateApiKey(Value):
    """`expires_at`: of the key from now on; left out, it stays."""

    overlap_seconds: int = Field(
        default=int(USUAL_OVERLAP.total_seconds()),
        ge=0,
        le=int(LONGEST_OVERLAP.total_seconds()),
        description="How long the secrets that it has now stay good; 0: they end at once.",
    )
    expires_at: Moment | None = Field(
        default=None, description="Of the key from now on; left out, it stays.", examples=["2027-06-30T00:00:00+08:00"]
    )


class RevokeApiKey(Value):
    reason: Text = Field(examples=["left in a public repository"])


@dataclass(frozen=True, slots=True)
class ApiKeyState:
    """`older`: until when each secret but the newest is good."""

    name: str = ""
    roles: tuple[str, ...] = ()
    expires_at: datetime | None = None
    older: tuple[datetime, ...] = ()
    revoked: bool = False


INITIAL = ApiKeyState()


def evolve(state: ApiKeyState, recorded: Recorded[Any]) -> ApiKeyState:
    match recorded.event:
        case ApiKeyIssued() as e:
            return ApiKeyState(e.name, e.roles, e.expires_at)
        case ApiKeyRotated() as e:
            older = (*(min(until, e.older_until) for until in state.older), e.older_until)
            return replace(
                state,
                expires_at=e.expires_at,
                older=tuple(until for until in older if until > recorded.occurred_at),
            )
        case ApiKeyRevoked():
            return replace(state, revoked=True)
        case _:
            return state


def decide_issue(
    state: ApiKeyState, command: IssueApiKey, digest: str, roles: Collection[str], now: datetime
) -> list[Event]:
    """`digest` of the new secret; `roles` of whoever issues it.

    Refuses `already_issued`, `role_missing` (forbidden), `bad_expiry`.
    """
    if state.name:
        raise refuse("already_issued", "the key has been issued already")
    _check_roles(command.roles, roles)
    return [
        ApiKeyIssued(
            name=command.name,
            secret_sha256=digest,
            roles=command.roles,
            scopes=command.scopes,
            expires_at=_checked_expiry(command.expires_at, now),
        )
    ]


def decide_rotate(
    state: ApiKeyState, command: RotateApiKey, digest: str, roles: Collection[str], now: datetime
) -> list[Event]:
    """`digest` of the new secret; `roles` of whoever rotates it, who is shown a secret that has the key's own.

    Refuses `role_missing` (forbidden), `key_revoked`, `bad_expiry`, `too_many_secrets`.
    """
    _check_roles(state.roles, roles)
    if state.revoked:
        raise refuse("key_revoked", f"the key {state.name!r} is revoked for ever", expected="issue a new one")
    present = state.expires_at or now
    expires_at = present if command.expires_at is None else command.expires_at
    older = [until for until in state.older if until > now]
    if command.overlap_seconds and len(older) >= MOST_OLDER:
        raise refuse(
            "too_many_secrets",
            f"{len(older)} older secrets of the key {state.name!r} are still good",
            field="overlap_seconds",
            expected=f"0, which ends them at once, or wait until {min(older).isoformat()}",
        )
    # An old secret was never promised to be good for longer than the key was when it was given out.
    until = min(now + timedelta(seconds=command.overlap_seconds), present)
    return [ApiKeyRotated(secret_sha256=digest, older_until=until, expires_at=_checked_expiry(expires_at, now))]


def decide_revoke(state: ApiKeyState, command: RevokeApiKey) -> list[Event]:
    """By whoever may see to keys, whatever roles it has: nobody should have to look for somebody while a key is abroad."""
    return [] if state.revoked else [ApiKeyRevoked(reason=command.reason)]


def _check_roles(wanted: Collection[str], has: Collection[str]) -> None:
    if lacking := [role for role in wanted if role not in has]:
        raise refuse(
            "role_missing",
            f"the key has the roles {', '.join(lacking)}, which you do not have",
            field="roles",
            expected="somebody who has every role of the key",
            kind="forbidden",
        )


def _checked_expiry(expires_at: datetime, now: datetime) -> datetime:
    latest = now + LONGEST_LIFE
    if not now < expires_at <= latest:
        said = f"expires_at {expires_at.isoformat()} is {'past' if expires_at <= now else 'too far ahead'}"
        raise refuse(
            "bad_expiry",
            said,
            field="expires_at",
            expected=f"after {now.isoformat()}, not after {latest.isoformat()}",
            kind="input",
        )
    return expires_at.astimezone(UTC)
