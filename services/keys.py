"""API keys for operators: whoever holds the database needs no token, and has every role."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy import select

from services import console
from services.account.api.api_keys import state_of
from services.account.commands.api_keys import issue_api_key, revoke_api_key, rotate_api_key
from services.account.domain.api_key import IssueApiKey, RevokeApiKey, RotateApiKey
from services.catalogue import SERVICES
from services.installation import open_installation
from services.upkeep import login
from shared.contracts.refusal import RefusedError
from shared.eventstore.commands import CommandContext, Work
from shared.eventstore.types import JsonObject
from shared.kit.api_key import ApiKeyText, new_secret
from shared.kit.ids import new_id
from shared.kit.permissions import ROLES
from shared.kit.settings import Settings
from shared.service.api_keys import api_key, api_keys
from shared.service.backend import WORKER, Backend
from shared.service.key_uses import uses

Act = Callable[[Work], Awaitable[str]]


async def issue(
    settings: Settings, name: str, roles: list[str], scopes: list[str], days: float, by: str | None, json: bool
) -> None:
    """Prints the key: nobody can do so again. Raises CommandError."""
    async with _account(settings) as backend:
        made = ApiKeyText(str(new_id()), new_secret())
        ends = (backend.clock.now() + timedelta(days=days)).replace(microsecond=0)
        said = _said(IssueApiKey, name=name, roles=roles, scopes=scopes, expires_at=ends)
        await _run(backend, by, lambda work: issue_api_key(work, made.key_id, said, made.digest, ROLES))
    _show(made, json, expires_at=ends)


async def rotate(settings: Settings, key_id: str, hours: float, days: float | None, by: str | None, json: bool) -> None:
    """Prints the key with its new secret. Raises CommandError."""
    async with _account(settings) as backend:
        made = ApiKeyText(key_id, new_secret())
        now = backend.clock.now().replace(microsecond=0)
        expires_at = None if days is None else now + timedelta(days=days)
        said = _said(RotateApiKey, overlap_seconds=round(hours * 3600), expires_at=expires_at)
        await _run(backend, by, lambda work: rotate_api_key(work, key_id, said, made.digest, ROLES))
    _show(made, json, older_secrets_until=now + timedelta(hours=hours))


async def revoke(settings: Settings, key_id: str, reason: str, by: str | None) -> None:
    """Raises CommandError."""
    async with _account(settings) as backend:
        said = _said(RevokeApiKey, reason=reason)
        await _run(backend, by, lambda work: revoke_api_key(work, key_id, said))
    console.screen.print(f"{key_id} is revoked; every service whose worker runs knows within moments", markup=False)


async def show(settings: Settings, json: bool) -> None:
    """Every key, and where it was last used of all services."""
    latest: dict[str, tuple[datetime, str]] = {}
    async with open_installation(settings) as installation:
        for service in SERVICES.values():
            async with installation.backend(service, WORKER) as backend, backend.engine.connect() as connection:
                for use in await uses(connection):
                    latest[use.key_id] = max(latest.get(use.key_id, (use.used_at, "")), (use.used_at, service.name))
        async with (
            installation.backend(SERVICES["account"], WORKER) as backend,
            backend.reads.connect(api_keys) as read,
        ):
            rows = (await read.execute(select(api_key).order_by(api_key.c.name, api_key.c.id))).mappings().all()
            now = backend.clock.now()
    console.show(
        "API keys", [_row(dict(row), state_of(row, now), latest, json) for row in rows], json=json, empty="none"
    )


def _row(row: dict[str, Any], state: str, latest: dict[str, tuple[datetime, str]], json: bool) -> dict[str, Any]:
    used_at, service = latest.get(row["id"], (None, None))
    known = {"id": row["id"], "name": row["name"], "state": state}
    if json:
        times = {"issued_at": row["issued_at"], "expires_at": row["expires_at"], "last_used_at": used_at}
        return {**known, "roles": row["roles"], "scopes": row["scopes"], **times, "last_used_in": service}
    words = {name: "\n".join(row[name]) for name in ("roles", "scopes")}
    used = None if used_at is None else f"{used_at:%Y-%m-%d %H:%M} {service}"
    return {**known, **words, "expires_at": f"{row['expires_at']:%Y-%m-%d}", "last_used": used}


@asynccontextmanager
async def _account(settings: Settings) -> AsyncIterator[Backend]:
    async with (
        open_installation(settings) as installation,
        installation.backend(SERVICES["account"], WORKER) as backend,
    ):
        yield backend


async def _run(backend: Backend, by: str | None, act: Act) -> None:
    async def decide(work: Work) -> JsonObject:
        return {"id": await act(work)}

    # No token can name such an actor, for a slash may not stand in its subject.
    context = CommandContext(f"keyfold/{by or login()}", backend.clock.now(), new_id())
    try:
        await backend.commands.run(context, {}, decide)
    except RefusedError as refusal:
        reasons = [f"{one.message}; {one.expected}" if one.expected else one.message for one in refusal.reasons]
        raise console.CommandError("; ".join(reasons)) from None


def _said(command: type[Any], **fields: Any) -> Any:
    try:
        made: BaseModel = command.model_validate(fields)
    except ValidationError as wrong:
        faults = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}" for one in wrong.errors()
        ]
        raise console.CommandError("; ".join(faults)) from None
    return made


def _show(made: ApiKeyText, json: bool, **times: datetime) -> None:
    told = {name: at.isoformat() for name, at in times.items()}
    if json:
        console.as_json({"id": made.key_id, "key": made.text, **told})
        return
    console.errors.print("Keep this key now: it is shown once and kept nowhere.", markup=False, soft_wrap=True)
    console.lines(made.text)
