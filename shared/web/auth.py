"""Who calls: bearer tokens (JWT) of an OIDC issuer by its JWKS, in the embedded form of our own issuer; or an API key."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import httpx
import jwt
import structlog
from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from shared.kit.api_key import PREFIX, SUBJECT_PREFIX
from shared.kit.figures import Figures
from shared.kit.permissions import ROLES, scope_for
from shared.web.problems import Fault, ProblemError, unavailable
from shared.web.rates import Limits

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
LONGEST_SUBJECT = 200
REFETCH_SECONDS = 5.0  # an unknown key id asks for the keys again, but not at every request
RETRY_SECONDS = 1.0  # after a failure: requests must not queue up behind an issuer that is away
KEEP_KEYS_SECONDS = 600.0  # also how long a withdrawn key may go on being trusted
MOST_REMEMBERED = 10_000
WERE_GOOD = ("token_expired", "key_expired", "key_rotated", "key_revoked")  # no guesses: only who had it can send it

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """`subject`: who the token names, or `api-key:<id>`; it is the actor of events. `scopes`: of an API key, else None."""

    subject: str
    roles: frozenset[str]
    expires_at: float
    scopes: frozenset[str] | None = None

    @property
    def sees_everything(self) -> bool:
        return bool(self.roles & SEE_EVERYTHING)


class Keys(Protocol):
    """Public keys of an issuer."""

    async def find(self, key_id: str | None) -> Any:
        """A key for PyJWT; raises ProblemError: 401 for an unknown key id, 503 when the keys cannot be fetched."""
        ...


class RemoteKeys:
    """A JWKS document, fetched when needed and kept for ten minutes; longer while the issuer cannot be reached.

    `url`: where it is; None: where the discovery document of `issuer` says.
    """

    def __init__(
        self,
        issuer: str,
        url: str | None = None,
        *,
        refetch_seconds: float = REFETCH_SECONDS,
        keep_seconds: float = KEEP_KEYS_SECONDS,
        figures: Figures | None = None,
    ) -> None:
        self._failures = (figures or Figures()).counter(
            "keyfold_issuer_failures", "Times that the issuer's keys could not be fetched."
        )
        self._issuer = issuer
        self._url = url
        self._refetch_seconds = refetch_seconds
        self._keep_seconds = keep_seconds
        self._keys: dict[str | None, Any] = {}
        self._fetched = self._failed = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str | None) -> Any:
        if self._due(key_id):
            async with self._fetching:
                if self._due(key_id):
                    await self._fetch()
        if not self._keys:
            raise unavailable("issuer_unavailable", "the token cannot be checked: the issuer's keys are out of reach")
        if key_id not in self._keys:
            raise unauthorised("unknown_key", "the token is signed with a key that its issuer does not publish")
        return self._keys[key_id]

    def _due(self, key_id: str | None) -> bool:
        now = time.monotonic()
        age = now - self._fetched
        wanted = age > self._keep_seconds or (key_id not in self._keys and age > self._refetch_seconds)
        return wanted and now - self._failed > RETRY_SECONDS

    async def _fetch(self) -> None:
        """What was had stays when the issuer cannot be reached: old keys are better than none."""
        try:
            async with httpx.AsyncClient(timeout=5.0) as client:
                url = self._url or await _discovered(client, self._issuer)
                document = (await client.get(url)).raise_for_status().json()
            keys = [found for one in document["keys"] if (found := _usable(one)) is not None]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, AttributeError) as error:
            self._failed = time.monotonic()
            self._failures.inc()
            log.warning(
                "the issuer's keys cannot be fetched",
                issuer=self._issuer,
                url=self._url,
                error=f"{type(error).__name__}: {error}",
            )
            return
        self._keys = {key.key_id: key for key in keys}
        if len(keys) == 1:
            self._keys[None] = keys[0]
        self._fetched = time.monotonic()


async def _discovered(client: httpx.AsyncClient, issuer: str) -> str:
    """The address of its keys. Raises httpx.HTTPError, KeyError, TypeError, ValueError."""
    address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    return keys_address((await client.get(address)).raise_for_status().json(), issuer)


def keys_address(discovery: Mapping[str, Any], issuer: str) -> str:
    """What its document of OpenID Connect Discovery 1.0 says. Raises KeyError, TypeError, ValueError."""
    if discovery["issuer"] != issuer:
        raise ValueError(f"it calls itself {discovery['issuer']!r}; KEYFOLD_ISSUER must be the same to the letter")
    found = discovery["jwks_uri"]
    if not isinstance(found, str) or (issuer.startswith("https:") and not found.startswith("https:")):
        # Whoever can change what travels in the clear could put in a key of his own.
        raise ValueError(f"its jwks_uri is {found!r}; that of an https issuer begins with https://")
    return found


def _usable(jwk: Mapping[str, Any]) -> jwt.PyJWK | None:
    """A key for signatures; None for any other, and for a kind that is not known here."""
    if jwk.get("use", "sig") != "sig":
        return None
    try:
        return jwt.PyJWK.from_dict(dict(jwk))
    except jwt.PyJWTError as error:
        log.warning("a key of the issuer cannot be used", key_id=jwk.get("kid"), error=str(error))
        return None


class Verifier:
    """Checks signature, issuer, audience and time of a token. Those found good are remembered, for ten minutes at most."""

    def __init__(
        self,
        keys: Keys,
        issuer: str,
        audience: str,
        roles_claim: str = "roles",
        subject_claim: str = "sub",
        *,
        leeway_seconds: float = LEEWAY_SECONDS,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._roles_claim = roles_claim
        self._subject_claim = subject_claim
        self._leeway_seconds = leeway_seconds
        self._good: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    async def verify(self, token: str) -> Caller:
        """Raises ProblemError: 401; 503 when the issuer's keys cannot be fetched."""
        known = self._good.get(token)
        if known is not None and known[1] > time.time():
            return known[0]
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
                leeway=self._leeway_seconds,
                options={"require": ["exp"]},
            )
        except jwt.ExpiredSignatureError:
            raise unauthorised("token_expired", "the token has expired; get a new one") from None
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise unauthorised("bad_token", f"the token is not valid: {error}") from None
        subject = _claim(claims, self._subject_claim)
        if not isinstance(subject, str) or not good_subject(subject):
            raise unauthorised(
                "bad_token",
                f"`{self._subject_claim}` must be text of 1 to {LONGEST_SUBJECT} characters, without a slash, and not"
                f" begin with {SUBJECT_PREFIX}",
            )
        caller = Caller(subject, _roles(claims, self._roles_claim), float(claims["exp"]) + self._leeway_seconds)
        self._good[token] = caller, min(caller.expires_at, time.time() + KEEP_KEYS_SECONDS)
        self._good.move_to_end(token)
        if len(self._good) > MOST_REMEMBERED:
            self._good.popitem(last=False)
        return caller


def good_subject(subject: str) -> bool:
    """It becomes the actor of events, and a slash parts it from an idempotency key. No issuer can name an API key."""
    fits = 0 < len(subject) <= LONGEST_SUBJECT and "/" not in subject and subject.isprintable()
    return fits and not subject.startswith(SUBJECT_PREFIX)


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """None when it is not there; `path` may have dots (`realm_access.roles`)."""
    value: Any = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _roles(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    """Roles of ours among those that the claim lists."""
    value = _claim(claims, path)
    listed = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(role for role in listed if role in ROLES)


def unauthorised(code: str, detail: str) -> ProblemError:
    """RFC 6750: the challenge names no error to whoever sent no token."""
    error = "" if code == "no_token" else ', error="invalid_token"'
    return ProblemError(401, code, detail, headers={"WWW-Authenticate": f'Bearer realm="keyfold"{error}'})


class VerifiesToken(Protocol):
    async def verify(self, token: str) -> Caller:
        """Raises ProblemError."""
        ...


class BearerToken(SecurityBase):
    """Who calls. One step, not two that depend on each other: the framework walks over every step wherever it is named."""

    model = HTTPBearer(bearerFormat="JWT", description="A JWT of the configured issuer.")
    scheme_name = "HTTPBearer"

    async def __call__(self, request: Request) -> Caller:
        """Raises ProblemError 401 without a valid token or API key, 403 for a key that has no scope for such a request, 429 for
        a request too many."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise unauthorised("no_token", "send `Authorization: Bearer <token or API key>`")
        state = request.app.state
        verifier: VerifiesToken = state.key_verifier if token.startswith(PREFIX) else state.verifier
        limits: Limits = state.limits
        try:
            found = await verifier.verify(token)
        except ProblemError as problem:
            if problem.status == 401 and problem.code not in WERE_GOOD:
                limits.failure(request.client.host if request.client else "")
            raise
        request.state.subject = found.subject
        limits.request(found.subject)
        if found.scopes is not None:
            _check_scope(found.scopes, scope_for(state.backend.service.name, request.method))
        return found


def _check_scope(scopes: frozenset[str], needed: str) -> None:
    if needed not in scopes:
        message = f"the API key has no scope for this; it has {', '.join(sorted(scopes))}"
        fault = Fault(code="scope_missing", message=message, field="Authorization", expected=f"a key with {needed}")
        raise ProblemError(403, "scope_missing", f"{message}, and this needs {needed}", errors=[fault])


caller = BearerToken()
CallerNow = Annotated[Caller, Depends(caller)]


def needs(*roles: str) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency: the caller has one of these roles, else 403."""

    async def check(who: CallerNow) -> Caller:  # a plain function would be run in a thread
        if not who.roles & frozenset(roles):
            has = ", ".join(sorted(who.roles)) or "none"
            raise ProblemError(
                403, "role_missing", f"this needs one of the roles {', '.join(roles)}; the token has {has}"
            )
        return who

    return check
