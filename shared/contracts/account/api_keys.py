"""What happens to an API key: stream `api_key-<id>`.

A key is a secret that a program shows instead of a person's token. Of the secret itself only a hash is ever written down: it is
256 random bits, so nobody can find it from the hash.
"""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from shared.contracts.account.contract import CONTRACT
from shared.contracts.event import Event

SecretHash = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{64}$",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    ),
]
"""SHA-256 of the secret, in hexadecimal."""


@CONTRACT.event("account.api_key_issued", stream="api_key")
class ApiKeyIssued(Event):
    """`roles`: what it may do, as a person with these roles may; `scopes` (`<service>:read`, `<service>:write`): where, and whether
    it may change anything. It is good until `expires_at`."""

    name: str = Field(examples=["ERP nightly import"])
    secret_sha256: SecretHash
    roles: tuple[str, ...] = Field(examples=[["integration"]])
    scopes: tuple[str, ...] = Field(examples=[["account:read", "account:write"]])
    expires_at: datetime


@CONTRACT.event("account.api_key_rotated", stream="api_key")
class ApiKeyRotated(Event):
    """It has a new secret and is good until `expires_at`. No older secret is good after `older_until`."""

    secret_sha256: SecretHash
    older_until: datetime
    expires_at: datetime


@CONTRACT.event("account.api_key_revoked", stream="api_key")
class ApiKeyRevoked(Event):
    """It is good no more, with whichever secret, for ever."""

    reason: str = Field(examples=["left in a public repository"])
