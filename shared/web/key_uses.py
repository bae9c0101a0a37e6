"""When API keys were last used in this service. Keys themselves are the account service's affair."""

from datetime import datetime

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from shared.kit.permissions import KEY_KEEPERS
from shared.service.key_uses import uses
from shared.web.auth import needs
from shared.web.commanding import PROBLEMS, BackendNow

router = APIRouter(tags=["key uses"])


class KeyUsed(BaseModel):
    """`secret` counts the secrets of the key from 1: after a rotation it tells whether anybody still shows an old one."""

    key_id: str = Field(examples=["0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d"])
    secret: int = Field(examples=[1])
    used_at: datetime


class KeysUsed(BaseModel):
    service: str = Field(examples=["account"])
    items: list[KeyUsed]


@router.get(
    "/api-key-uses",
    summary="When API keys were last used in this service",
    dependencies=[Depends(needs(*KEY_KEEPERS))],
    responses=PROBLEMS,
)
async def used(backend: BackendNow) -> KeysUsed:
    """Every secret that was ever good here; one that is not named was never used here. Up to a minute late."""
    async with backend.engine.connect() as connection:
        found = await uses(connection)
    items = [KeyUsed(key_id=one.key_id, secret=one.secret, used_at=one.used_at) for one in found]
    return KeysUsed(service=backend.service.name, items=items)
