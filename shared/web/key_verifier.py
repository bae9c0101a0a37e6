"""Who calls with an API key, and whether it is good."""

from datetime import datetime

from shared.kit.api_key import parse_api_key, subject_of
from shared.service.api_keys import KnownKey, Secret
from shared.service.backend import Backend
from shared.service.key_uses import KeyUse
from shared.web.auth import Caller, unauthorised
from shared.web.problems import ProblemError

NOT_GOOD = "the API key is not good; one that was issued or rotated just now is, a moment later"


class KeyVerifier:
    """Checks form, secret, end and revocation of a key, and notes that it was used."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def verify(self, token: str) -> Caller:
        """Raises ProblemError: 401; NotBuiltError while the service has no read model of keys.

        Only who holds a secret that was right once is told why it is so no more.
        """
        shown = parse_api_key(token)
        if shown is None:
            raise unauthorised(
                "bad_api_key", "this is no API key of Keyfold: `kf_`, 32 hexadecimal digits, `_`, 72 more"
            )
        known = await self._backend.api_keys.find(shown.key_id)
        secret = None if known is None else known.holding(shown.digest)
        if known is None or secret is None:
            raise unauthorised("bad_api_key", NOT_GOOD)
        now = self._backend.clock.now()
        problem = _ended(known, secret, now)
        if problem is not None:
            raise problem
        self._backend.key_uses.note(KeyUse(known.key_id, secret.number, now))
        return Caller(subject_of(known.key_id), known.roles, known.expires_at.timestamp(), known.scopes)


def _ended(known: KnownKey, secret: Secret, now: datetime) -> ProblemError | None:
    if known.revoked_at is not None:
        return unauthorised("key_revoked", f"the API key {known.name!r} was revoked at {known.revoked_at.isoformat()}")
    if known.expires_at <= now:
        return unauthorised("key_expired", f"the API key {known.name!r} expired at {known.expires_at.isoformat()}")
    if secret.until is not None and secret.until <= now:
        until = secret.until.isoformat()
        return unauthorised(
            "key_rotated", f"the API key {known.name!r} has a new secret; this one was good until {until}"
        )
    return None
