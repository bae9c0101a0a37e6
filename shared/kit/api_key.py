"""API keys as text: `kf_<id>_<secret><checksum>`, all in lower-case hexadecimal digits.

Scanners find one that was left lying about by `kf_[0-9a-f]{32}_[0-9a-f]{72}`, and the checksum tells it from a chance hit
without asking anybody.
"""

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass, field
from uuid import UUID

PREFIX = "kf_"
SECRET_BYTES = 32
SUBJECT_PREFIX = "api-key:"
_FORM = re.compile(r"(kf_([0-9a-f]{32})_([0-9a-f]{64}))([0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class ApiKeyText:
    """A key that is written as one must be; whether it is good is another matter. `secret` shows in no `repr`."""

    key_id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        body = f"{PREFIX}{UUID(self.key_id).hex}_{self.secret}"
        return f"{body}{_checksum(body)}"

    @property
    def digest(self) -> str:
        """SHA-256 of the secret, in hexadecimal: all that is kept of it.

        A slow, salted hash protects what people think up, of which there is little enough to try. 256 random bits cannot be
        tried, however fast the hash is, and a fast one does not offer strangers a way to keep the server busy.
        """
        return hashlib.sha256(self.secret.encode()).hexdigest()


def new_secret() -> str:
    return secrets.token_hex(SECRET_BYTES)


def parse_api_key(text: str) -> ApiKeyText | None:
    """None for what cannot be a key: another form, or a slip of the pen that the checksum shows."""
    found = _FORM.fullmatch(text)
    if found is None or _checksum(found[1]) != found[4]:
        return None
    return ApiKeyText(str(UUID(found[2])), found[3])


def subject_of(key_id: str) -> str:
    """Who a key is: the actor of its events. Without a slash, which parts an actor from an idempotency key."""
    return f"{SUBJECT_PREFIX}{key_id}"


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
