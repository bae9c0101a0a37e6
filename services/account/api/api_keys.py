"""API keys as they are: what they may do, until when, and when they were last used. Never a secret."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import ColumnElement, RowMapping, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.account.api.asking import EntityId, listed, not_found, order_by
from services.account.api.every_kind import add_history
from services.account.api.schemas import ApiKey, KeySecret, Listed
from services.account.entities import API_KEY
from services.account.labels import of_key
from shared.kit.api_key import subject_of
from shared.kit.permissions import KEY_KEEPERS
from shared.service.api_keys import api_key, api_keys, secret_of
from shared.service.key_uses import KeyUse, uses
from shared.web.auth import needs
from shared.web.commanding import PROBLEMS, BackendNow, etag
from shared.web.language import Language, LanguageNow
from shared.web.paging import CursorText, Limit
from shared.web.reading import reading

router = APIRouter(prefix="/api-keys", tags=["api keys"])
KEEPS: dict[str, Any] = {"dependencies": [Depends(needs(*KEY_KEEPERS))], "responses": PROBLEMS}
Read = Annotated[AsyncConnection, Depends(reading(api_keys), scope="function")]
SORTS = {"name": api_key.c.name, "issued_at": api_key.c.issued_at, "expires_at": api_key.c.expires_at}
Sort = Annotated[
    Literal["name", "-name", "issued_at", "-issued_at", "expires_at", "-expires_at"],
    Query(description="With a minus: downwards."),
]
State = Literal["active", "expired", "revoked"]


@router.get("", summary="API keys and when they were last used here", **KEEPS)
async def keys(
    read: Read,
    backend: BackendNow,
    language: LanguageNow,
    state: Annotated[State | None, Query(description="Only those that are so now.")] = None,
    sort: Sort = "name",
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Listed[ApiKey]:
    now = backend.clock.now()
    where = [] if state is None else [_are(state, now)]
    question = {"of": "api_keys", "state": state, "sort": sort}
    rows = await listed(read, api_key, where, order_by(sort, SORTS, api_key.c.id), limit, cursor, question)
    used = await uses(read, [row["id"] for row in rows.rows])
    return Listed(items=[_told(row, used, now, language) for row in rows.rows], **rows.content)


@router.get("/{entity_id}", summary="An API key, its secrets by number, and when each was last used here", **KEEPS)
async def one_key(
    entity_id: EntityId, read: Read, backend: BackendNow, language: LanguageNow, response: Response
) -> ApiKey:
    row = (await read.execute(select(api_key).where(api_key.c.id == str(entity_id)))).mappings().first()
    if row is None:
        raise not_found("api_key", entity_id)
    response.headers.update(etag(row["version"]))
    return _told(row, await uses(read, [row["id"]]), backend.clock.now(), language)


add_history(router, API_KEY, "an API key", KEEPS)


def _are(state: State, now: datetime) -> ColumnElement[bool]:
    if state == "revoked":
        return api_key.c.revoked_at.is_not(None)
    ended = api_key.c.expires_at <= now
    return and_(api_key.c.revoked_at.is_(None), ended if state == "expired" else ~ended)


def state_of(row: RowMapping, now: datetime) -> State:
    if row["revoked_at"] is not None:
        return "revoked"
    return "expired" if row["expires_at"] <= now else "active"


def _told(row: RowMapping, used: Sequence[KeyUse], now: datetime, language: Language) -> ApiKey:
    state = state_of(row, now)
    last = {one.secret: one.used_at for one in used if one.key_id == row["id"]}
    secrets = [
        KeySecret(
            number=secret.number,
            until=secret.until,
            good=state == "active" and (secret.until is None or secret.until > now),
            last_used_at=last.get(secret.number),
        )
        for secret in map(secret_of, row["secrets"])
    ]
    beside = {
        "subject": subject_of(row["id"]),
        "state": state,
        "last_used_at": max(last.values(), default=None),
        "secrets": secrets,
        "labels": of_key(state, row["roles"], row["scopes"], language),
    }
    return ApiKey.model_validate({**row, **beside})
