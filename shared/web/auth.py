"""Who calls: bearer tokens (JWT) of an OIDC issuer by its JWKS, or, in the embedded form, of our own issuer."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import httpx
import jwt
import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from shared.web.problems import ProblemError, unavailable

ROLES = ("seller", "manager", "executive", "finance", "operations", "integration")
SEE_EVERYTHING = frozenset({"executive", "finance", "operations", "integration"})
ALGORITHMS = (
    "EdDSA",
    "ES256",
    "ES384",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
)  # public keys only: a shared secret could be guessed
LEEWAY_SECONDS = 30
LONGEST_TOKEN = 8_192
REFETCH_SECONDS = 30.0  # an unknown key id asks for the keys again, but not at every request
KEEP_KEYS_SECONDS = 600.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """`subject`: the `sub` of the token, which is the actor of events."""

    subject: str
    roles: frozenset[str]
    expires_at: float

    @property
    def sees_everything(self) -> bool:
        return bool(self.roles & SEE_EVERYTHING)


class Keys(Protocol):
    """Public keys of an issuer."""

    async def find(self, key_id: str | None) -> Any:
        """A key for PyJWT; raises ProblemError: 401 for an unknown key id, 503 when the keys cannot be fetched."""
        ...


class RemoteKeys:
    """A JWKS document, fetched when needed and kept for ten minutes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str | None, Any] = {}
        self._fetched = float("-inf")

    async def find(self, key_id: str | None) -> Any:
        age = time.monotonic() - self._fetched
        if age > KEEP_KEYS_SECONDS or (key_id not in self._keys and age > REFETCH_SECONDS):
            await self._fetch()
        if key_id not in self._keys:
            raise unauthorised("unknown_key", "the token is signed with a key that its issuer does not publish")
        return self._keys[key_id]

    async def _fetch(self) -> None:
        try:
            async with httpx.AsyncClient(timeout=5.0) as client:
                document = (await client.get(self._url)).raise_for_status().json()
            keys = [jwt.PyJWK.from_dict(one) for one in document["keys"] if one.get("use", "sig") == "sig"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
            log.warning("the issuer's keys cannot be fetched", url=self._url, error=f"{type(error).__name__}: {error}")
            if not self._keys:
                raise unavailable(
                    "issuer_unavailable", "the token cannot be checked: the issuer's keys are out of reach"
                ) from None
            return  # the keys that are known are better than none
        self._keys = {key.key_id: key for key in keys}
        if len(keys) == 1:
            self._keys[None] = keys[0]
        self._fetched = time.monotonic()


class Verifier:
    """Checks signature, issuer, audience and time of a token. Tokens found good are remembered until they expire."""

    def __init__(self, keys: Keys, issuer: str, audience: str, roles_claim: str = "roles") -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._roles_claim = roles_claim
        self._good: OrderedDict[str, Caller] = OrderedDict()

    async def verify(self, token: str) -> Caller:
        """Raises ProblemError 401."""
        known = self._good.get(token)
        if known is not None and known.expires_at > time.time():
            return known
        if len(token) > LONGEST_TOKEN:
            raise unauthorised("bad_token", f"a token has at most {LONGEST_TOKEN} characters")
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.find(header.get("kid"))
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise unauthorised("token_expired", "the token has expired; get a new one") from None
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise unauthorised("bad_token", f"the token is not valid: {error}") from None
        caller = Caller(str(claims["sub"]), _roles(claims, self._roles_claim), float(claims["exp"]) + LEEWAY_SECONDS)
        if not 0 < len(caller.subject) <= 200 or "\0" in caller.subject or "/" in caller.subject:
            raise unauthorised("bad_token", "`sub` must have 1 to 200 characters and no slash")
        self._good[token] = caller
        if len(self._good) > 10_000:
            self._good.popitem(last=False)
        return caller


def _roles(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    """Roles of ours among those that the claim lists; `path` may have dots (`realm_access.roles`)."""
    value: Any = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    listed = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(role for role in listed if role in ROLES)


def unauthorised(code: str, detail: str) -> ProblemError:
    return ProblemError(401, code, detail, headers={"WWW-Authenticate": f'Bearer realm="keyfold", error="{code}"'})


bearer = HTTPBearer(auto_error=False, description="A JWT of the configured issuer.", bearerFormat="JWT")


async def caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Caller:
    """Who calls. Raises ProblemError 401 without a valid token."""
    if credentials is None:
        raise unauthorised("no_token", "send `Authorization: Bearer <token>`")
    verifier: Verifier = request.app.state.verifier
    found = await verifier.verify(credentials.credentials)
    request.state.subject = found.subject
    return found


CallerNow = Annotated[Caller, Depends(caller)]


def needs(*roles: str) -> Callable[[Caller], Caller]:
    """A dependency: the caller has one of these roles, else 403."""

    def check(who: CallerNow) -> Caller:
        if not who.roles & frozenset(roles):
            has = ", ".join(sorted(who.roles)) or "none"
            raise ProblemError(
                403, "role_missing", f"this needs one of the roles {', '.join(roles)}; the token has {has}"
            )
        return who

    return check
