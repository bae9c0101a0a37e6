"""Bearer tokens: what is refused and why, keys fetched from an issuer, and the issuer of our own."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from starlette.types import Receive, Scope, Send

from shared.service.http import serve_http
from shared.web.auth import LEEWAY_SECONDS, RemoteKeys, Verifier, keys_address
from shared.web.own_issuer import ISSUER, OwnIssuer
from shared.web.problems import ProblemError
from tests.shared.web.desk import desk

KEY = Ed25519PrivateKey.generate()
OWN = OwnIssuer(KEY)
AUDIENCE = "keyfold"


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "mei", "roles": ["seller"], "exp": now + 86_400} | changed
    return {name: value for name, value in whole.items() if value is not None}


def signed(key: Any = KEY, algorithm: str = "EdDSA", kid: str | None = OWN.key_id, **changed: Any) -> str:
    return jwt.encode(claims(**changed), key, algorithm, headers={} if kid is None else {"kid": kid})


def verifier(roles_claim: str = "roles") -> Verifier:
    return Verifier(OWN, ISSUER, AUDIENCE, roles_claim)


async def refused(token: str, by: Verifier | None = None) -> ProblemError:
    with pytest.raises(ProblemError) as problem:
        await (by or verifier()).verify(token)
    return problem.value


def unsigned(header: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims()).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


async def test_a_good_token_says_who_calls_and_in_which_roles() -> None:
    caller = await verifier().verify(signed(roles=["seller", "manager", "emperor", 7]))
    assert (caller.subject, set(caller.roles)) == ("mei", {"seller", "manager"})
    assert not caller.sees_everything
    assert (await verifier().verify(signed(roles=["finance"]))).sees_everything


@pytest.mark.parametrize(
    ("claim", "value", "roles"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["manager"]}}, {"manager"}),
        ("scope", {"scope": "openid seller"}, {"seller"}),
        ("roles", {"roles": None}, set()),
        ("roles", {"roles": {"seller": True}}, set()),
        ("a.b.c", {"a": {"b": "seller"}}, set()),
    ],
)
async def test_roles_are_found_where_the_issuer_puts_them(claim: str, value: dict[str, Any], roles: set[str]) -> None:
    assert (await verifier(claim).verify(signed(**{"roles": None} | value))).roles == roles


async def test_another_claim_may_name_the_person() -> None:
    judge = Verifier(OWN, ISSUER, AUDIENCE, subject_claim="user.login")
    assert (await judge.verify(signed(user={"login": "mei.li"}, sub="f81d4fae"))).subject == "mei.li"
    for value in (None, {}, {"login": 7}, {"login": ["mei"]}, {"login": ""}, {"login": "api-key:1"}, "mei"):
        problem = await refused(signed(user=value), judge)
        assert problem.code == "bad_token"
        assert "`user.login`" in problem.detail


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("garbage", "bad_token"),
        ("a.b.c", "bad_token"),
        ("…", "bad_token"),
        ("x" * 9_000, "bad_token"),
        (signed(aud="somebody-else"), "bad_token"),
        (signed(aud=None), "bad_token"),
        (signed(iss="https://somebody.invalid"), "bad_token"),
        (signed(iss=None), "bad_token"),
        (signed(Ed25519PrivateKey.generate()), "bad_token"),
        (signed(kid="another"), "unknown_key"),
        (signed(kid=None), "unknown_key"),
        (signed()[:-8] + "AAAAAAAA", "bad_token"),
        (signed(exp=None), "bad_token"),
        (signed(exp=int(time.time()) - LEEWAY_SECONDS - 60), "token_expired"),
        (signed(nbf=int(time.time()) + 86_400), "bad_token"),
        (signed(sub=None), "bad_token"),
        (signed(sub=""), "bad_token"),
        (signed(sub="mei/key"), "bad_token"),
        (signed(sub="mei\0"), "bad_token"),
        (signed(sub="x" * 201), "bad_token"),
        (unsigned({"alg": "none", "kid": OWN.key_id}), "bad_token"),
        (unsigned({"alg": "HS256", "kid": OWN.key_id}, b"x" * 32), "bad_token"),
        (unsigned({"alg": "EdDSA", "kid": ["a"]}, b"x" * 64), "bad_token"),
    ],
)
async def test_a_token_that_is_not_good_is_refused(token: str, code: str) -> None:
    problem = await refused(token)
    assert (problem.status, problem.code) == (401, code)
    assert "Bearer" in problem.headers["WWW-Authenticate"]
    assert token not in problem.detail


async def test_a_clock_may_be_off_by_less_than_the_leeway() -> None:
    assert (await verifier().verify(signed(exp=int(time.time()) - 10))).subject == "mei"


async def test_a_token_signed_with_the_public_key_as_a_shared_secret_is_refused() -> None:
    public = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": OWN.key_id}).encode()).rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=")
    signature = base64.urlsafe_b64encode(hmac.digest(public, header + b"." + body, hashlib.sha256)).rstrip(b"=")
    assert (await refused(b".".join((header, body, signature)).decode())).code == "bad_token"


async def test_a_remembered_token_expires_all_the_same() -> None:
    judge = verifier()
    token = signed(exp=int(time.time()) - LEEWAY_SECONDS + 3)
    await judge.verify(token)
    ended = ""
    async with asyncio.timeout(15):
        while not ended:
            try:
                await judge.verify(token)
            except ProblemError as problem:
                ended = problem.code
            await asyncio.to_thread(lambda: None)
    assert ended == "token_expired"


# --- over HTTP


async def test_without_a_token_there_is_nothing_but_health(database: str) -> None:
    async with desk(database, worker=False) as service, service.stranger() as client:
        for headers in ({}, {"Authorization": "Basic bWVpOm1laQ=="}, {"Authorization": "Bearer"}):
            for path in ("/enquiries", "/enquiries/e1", "/events"):
                answer = await client.get(path, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (401, "no_token")
                assert answer.headers["WWW-Authenticate"] == 'Bearer realm="keyfold"'
        answer = await client.get("/enquiries", headers={"Authorization": "Bearer garbage"})
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert (await client.get(path)).status_code == 200


async def test_a_role_that_is_missing_is_named(database: str) -> None:
    async with desk(database, worker=False) as service, service.client("mei", "seller") as client:
        answer = await client.get("/boom")
        assert (answer.status_code, answer.json()["code"]) == (403, "role_missing")
        assert "operations" in answer.json()["detail"]
        assert "seller" in answer.json()["detail"]


# --- an issuer's keys


class Issuer:
    """Publishes a JWKS document, and another that says where it is; `asked` counts how often the first was asked for."""

    def __init__(self) -> None:
        self.document: Any = {"keys": []}
        self.asked = 0
        self.url = ""
        self.discovery: dict[str, Any] = {}

    @property
    def name(self) -> str:
        return self.url.removesuffix("/keys")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        document = self.document
        if scope["path"] == "/.well-known/openid-configuration":
            document = {"issuer": self.name, "jwks_uri": self.url} | self.discovery
        else:
            self.asked += 1
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def publishing(*keys: dict[str, Any]) -> AsyncIterator[tuple[Issuer, Callable[[], Awaitable[None]]]]:
    """The issuer, and a function that takes it down."""
    issuer, stop = Issuer(), asyncio.Event()
    issuer.document = {"keys": list(keys)}
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve_http(issuer, "127.0.0.1", 0, stop, on_ready=ready.set_result, draining=asyncio.Event())
    )
    issuer.url = f"{await ready}/keys"

    async def go_down() -> None:
        stop.set()
        await task

    try:
        yield issuer, go_down
    finally:
        await go_down()


def published(key: Any, kid: str | None) -> dict[str, Any]:
    kinds: dict[type[Any], Any] = {rsa.RSAPublicKey: RSAAlgorithm, ec.EllipticCurvePublicKey: ECAlgorithm}
    public = key.public_key()
    algorithm = next((kinds[kind] for kind in kinds if isinstance(public, kind)), OKPAlgorithm)
    jwk: dict[str, Any] = json.loads(algorithm.to_jwk(public))
    jwk.pop("key_ops", None)
    return jwk | {"use": "sig"} | ({} if kid is None else {"kid": kid})


def trusting(issuer: Issuer, **more: Any) -> Verifier:
    return Verifier(RemoteKeys(ISSUER, issuer.url, **more), ISSUER, AUDIENCE)


RSA_KEY = rsa.generate_private_key(65_537, 2_048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


async def test_keys_of_all_kinds_are_fetched_once() -> None:
    keys = [published(KEY, "one"), published(RSA_KEY, "two"), published(EC_KEY, "three")]
    useless = [{"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}, {"kty": "new", "kid": "x"}, keys[0] | {"use": "enc"}]
    async with publishing(*useless, *keys) as (issuer, _):
        judge = trusting(issuer)
        tokens = [signed(KEY, "EdDSA", "one"), signed(RSA_KEY, "RS256", "two"), signed(EC_KEY, "ES256", "three")]
        await asyncio.gather(*(judge.verify(token) for token in tokens))
        assert issuer.asked == 1
        assert (await refused(signed(RSA_KEY, "RS256", "one"), judge)).code == "bad_token"
        shared = jwt.encode(claims(), b"secret" * 8, "HS256", headers={"kid": "shared"})
        assert (await refused(shared, judge)).status == 401


async def test_the_only_key_needs_no_id() -> None:
    async with publishing(published(KEY, None)) as (issuer, _):
        assert (await trusting(issuer).verify(signed(kid=None))).subject == "mei"


async def test_a_key_that_was_rotated_in_is_found_and_one_rotated_out_is_refused() -> None:
    new = Ed25519PrivateKey.generate()
    async with publishing(published(KEY, "old")) as (issuer, _):
        judge = trusting(issuer, refetch_seconds=0.0)
        await judge.verify(signed(kid="old"))
        issuer.document = {"keys": [published(new, "new")]}
        assert (await judge.verify(signed(new, kid="new"))).subject == "mei"
        assert (await refused(signed(kid="old", sub="other"), judge)).code == "unknown_key"


async def test_unknown_keys_do_not_make_it_ask_at_every_request() -> None:
    async with publishing(published(KEY, "one")) as (issuer, _):
        judge = trusting(issuer)
        for n in range(5):
            assert (await refused(signed(kid=f"guess{n}"), judge)).code == "unknown_key"
        assert issuer.asked == 1


async def test_an_issuer_that_was_never_reached_is_503_and_is_not_asked_at_every_request() -> None:
    async with publishing() as (issuer, _):
        judge = trusting(issuer)
        issuer.document = b"no JSON"
        for _ in range(3):
            problem = await refused(signed(), judge)
            assert (problem.status, problem.code) == (503, "issuer_unavailable")
            assert "Retry-After" in problem.headers
        assert issuer.asked == 1


async def test_keys_are_kept_while_the_issuer_is_down() -> None:
    async with publishing(published(KEY, "one")) as (issuer, go_down):
        judge = trusting(issuer, keep_seconds=0.0)
        await judge.verify(signed(kid="one"))
        await go_down()
        assert (await judge.verify(signed(kid="one", sub="li"))).subject == "li"


async def test_an_issuer_tells_where_its_keys_are() -> None:
    async with publishing(published(KEY, "one")) as (issuer, _):
        judge = Verifier(RemoteKeys(issuer.name), issuer.name, AUDIENCE)
        assert (await judge.verify(signed(kid="one", iss=issuer.name))).subject == "mei"
        assert issuer.asked == 1


@pytest.mark.parametrize("told", [{"issuer": "https://somebody.invalid"}, {"jwks_uri": 7}, {"jwks_uri": "/keys"}])
async def test_what_an_issuer_tells_of_itself_must_fit(told: dict[str, Any]) -> None:
    async with publishing(published(KEY, "one")) as (issuer, _):
        issuer.discovery = told
        judge = Verifier(RemoteKeys(issuer.name), issuer.name, AUDIENCE)
        assert (await refused(signed(kid="one", iss=issuer.name), judge)).code == "issuer_unavailable"
        assert issuer.asked == 0


def test_an_https_issuer_cannot_lead_to_keys_in_the_clear() -> None:
    told = {"issuer": "https://login.example.test", "jwks_uri": "https://keys.example.test"}
    assert keys_address(told, told["issuer"]) == told["jwks_uri"]
    with pytest.raises(ValueError, match="begins with https://"):
        keys_address(told | {"jwks_uri": "http://keys.example.test"}, told["issuer"])


# --- our own issuer


async def test_the_own_key_is_private_and_survives(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = OwnIssuer.open(folder)
    assert [file.name for file in folder.iterdir()] == ["issuer-key.pem"]
    assert (folder / "issuer-key.pem").stat().st_mode & 0o777 == 0o600
    token = first.mint("mei", ("seller",), AUDIENCE)
    second = OwnIssuer.open(folder)
    assert second.key_id == first.key_id
    assert (await Verifier(second, ISSUER, AUDIENCE).verify(token)).roles == {"seller"}
    assert "d" not in second.jwks()["keys"][0]


async def test_what_it_publishes_is_enough_to_check_its_tokens() -> None:
    async with publishing(*OWN.jwks()["keys"]) as (issuer, _):
        assert (await trusting(issuer).verify(OWN.mint("mei", ("seller",), AUDIENCE))).subject == "mei"


@pytest.mark.parametrize(("subject", "role"), [("mei", "emperor"), ("me/i", "seller"), ("", "seller")])
def test_it_mints_nothing_that_would_be_refused(subject: str, role: str) -> None:
    with pytest.raises(ValueError, match=r"role|subject"):
        OWN.mint(subject, (role,), AUDIENCE)
