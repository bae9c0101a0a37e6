"""Tokens of a real issuer: people and systems, what is refused, rotated keys, and an issuer that is gone.

One test, step by step: a start of the issuer costs more than all steps together.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives import serialization
from fastapi import FastAPI

from shared.service.backend import Backend
from shared.web.app import make_app
from shared.web.auth import RemoteKeys, Verifier
from shared.web.problems import ProblemError
from tests.shared.web.desk import desk

AUDIENCE = "keyfold"
LOGIN = "mei"


@dataclass(frozen=True)
class Realm:
    """A realm of the server by its admin API, and the tokens that it gives."""

    server: Any
    http: httpx.AsyncClient
    name: str = "keyfold"

    @property
    def issuer(self) -> str:
        return f"{self.server.address}/realms/{self.name}"

    @property
    def administrator(self) -> dict[str, str]:
        """What the administrator sends for a token."""
        who = {"username": self.server.administrator, "password": self.server.password}
        return {"client_id": "admin-cli", "grant_type": "password"} | who

    async def admin(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """`path` below the realm. Whatever is not done raises."""
        granted = await self.grant("master", self.administrator)
        answer = await self.http.request(
            method,
            f"{self.server.address}/admin/realms{path}",
            json=body,
            headers={"Authorization": f"Bearer {granted}"},
        )
        return answer.raise_for_status()

    async def system(self) -> str:
        """The token of the service account `keyfold-integration`."""
        who = {"client_id": "keyfold-integration", "client_secret": self.server.integration_secret}
        return await self.grant(self.name, {"grant_type": "client_credentials"} | who)

    async def person(self, client_id: str, password: str) -> str:
        who = {"client_id": client_id, "username": LOGIN, "password": password}
        return await self.grant(self.name, {"grant_type": "password", "scope": "openid"} | who)

    async def grant(self, realm: str, form: dict[str, str]) -> str:
        address = f"{self.server.address}/realms/{realm}/protocol/openid-connect/token"
        answer = await self.http.post(address, data=form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def give_person(self, password: str) -> str:
        """Somebody in sales, and two clients to log in by, of which only `try` names our audience; the id of the person."""
        mappers = (await self.admin("GET", f"/{self.name}/clients?clientId=keyfold-web")).json()[0]["protocolMappers"]
        mappers = [{key: value for key, value in one.items() if key != "id"} for one in mappers]
        for client_id, some in (("try", mappers), ("stray", [one for one in mappers if one["name"] == "roles"])):
            client = {"clientId": client_id, "publicClient": True, "directAccessGrantsEnabled": True}
            await self.admin("POST", f"/{self.name}/clients", client | {"protocolMappers": some})
        person = {"username": LOGIN, "enabled": True, "email": "mei@example.test", "emailVerified": True}
        person |= {"firstName": "Mei", "lastName": "Li"}
        credentials = [{"type": "password", "value": password, "temporary": False}]
        made = await self.admin("POST", f"/{self.name}/users", person | {"credentials": credentials})
        person_id = made.headers["Location"].rpartition("/")[2]
        role = (await self.admin("GET", f"/{self.name}/roles/seller")).json()
        await self.admin("POST", f"/{self.name}/users/{person_id}/role-mappings/realm", [role])
        return person_id

    async def set_keys(self, name: str, priority: int, *, enabled: bool) -> None:
        """A key pair by this name, new or changed; it signs when its priority is the highest."""
        realm_id = (await self.admin("GET", f"/{self.name}")).json()["id"]
        kept = (await self.admin("GET", f"/{self.name}/components?name={name}")).json()
        config = {"priority": [str(priority)], "algorithm": ["RS256"]}
        config |= {key: [str(enabled).lower()] for key in ("active", "enabled")}
        component = {"name": name, "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider"}
        if not kept:
            await self.admin("POST", f"/{self.name}/components", component | {"parentId": realm_id, "config": config})
        else:
            changed = kept[0] | {"config": kept[0]["config"] | config}
            await self.admin("PUT", f"/{self.name}/components/{kept[0]['id']}", changed)


@asynccontextmanager
async def app_of(backend: Backend, verifier: Verifier) -> AsyncIterator[httpx.AsyncClient]:
    app: FastAPI = make_app(backend, verifier, asyncio.Event())
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://keyfold.test") as client:
        yield client


async def asked(client: httpx.AsyncClient, token: str, path: str = "/enquiries") -> tuple[int, str]:
    """Status, and the code of the problem if it is one."""
    answer = await client.get(path, headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, "" if answer.status_code == 200 else answer.json()["code"]


async def verdict(judge: Verifier, token: str) -> str:
    try:
        await judge.verify(token)
    except ProblemError as problem:
        return problem.code
    return "good"


def encoded(part: Any) -> str:
    return (
        base64.urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).rstrip(b"=").decode()
    )


def forgeries(token: str, public_key: Any) -> dict[str, str]:
    """What somebody makes of a good token who has only that and the published key."""
    header, body, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    raised = encoded(claims | {"roles": ["executive"]})
    key_id = jwt.get_unverified_header(token)["kid"]
    hmac_header = encoded({"alg": "HS256", "typ": "JWT", "kid": key_id})
    made = {
        "tampered": f"{header}.{raised}.{signature}",
        "none": f"{encoded({'alg': 'none', 'kid': key_id})}.{body}.",
        "none, signed": f"{encoded({'alg': 'none', 'kid': key_id})}.{raised}.{signature}",
    }
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    for name, secret in (
        ("PEM", public_key.public_bytes(serialization.Encoding.PEM, spki)),
        ("DER", public_key.public_bytes(serialization.Encoding.DER, spki)),
    ):
        signed = hmac.digest(secret, f"{hmac_header}.{raised}".encode(), hashlib.sha256)
        made[f"HS256 by {name}"] = f"{hmac_header}.{raised}.{encoded(signed)}"
    return made


async def test_tokens_of_a_real_issuer(issuer: Any, database: str) -> None:
    password = secrets.token_urlsafe(12)
    async with httpx.AsyncClient(timeout=30) as http, desk(database, worker=False) as service:
        realm = Realm(issuer, http)
        person_id = await realm.give_person(password)
        judge = Verifier(RemoteKeys(realm.issuer, refetch_seconds=0.0), realm.issuer, AUDIENCE)
        async with app_of(service.backend, judge) as client:
            await _people_and_systems(realm, client, judge, password, person_id)
            await _what_is_refused(realm, client, password)
            await _expired(realm)
            await _rotated(realm, client, judge)
            await _gone(realm, client)


async def _people_and_systems(
    realm: Realm, client: httpx.AsyncClient, judge: Verifier, password: str, person_id: str
) -> None:
    system, person = await realm.system(), await realm.person("try", password)
    assert (await judge.verify(system)).roles == {"integration"}
    caller = await judge.verify(person)
    assert (caller.subject, set(caller.roles)) == (person_id, {"seller"})
    assert [await asked(client, token) for token in (system, person)] == [(200, "")] * 2
    assert await asked(client, person, "/boom") == (403, "role_missing")
    opened = await client.post(
        "/enquiries", json={"id": "e1", "title": "Steel"}, headers={"Authorization": f"Bearer {system}"}
    )
    assert opened.status_code == 201, opened.text

    by_login = Verifier(RemoteKeys(realm.issuer), realm.issuer, AUDIENCE, subject_claim="preferred_username")
    assert (await by_login.verify(person)).subject == LOGIN


async def _what_is_refused(realm: Realm, client: httpx.AsyncClient, password: str) -> None:
    stray = await realm.person("stray", password)
    assert jwt.decode(stray, options={"verify_signature": False})["roles"]
    assert await asked(client, stray) == (401, "bad_token")

    master = await realm.grant("master", realm.administrator)
    assert await asked(client, master) == (401, "unknown_key")
    knows_its_keys = RemoteKeys(realm.issuer, f"{realm.server.address}/realms/master/protocol/openid-connect/certs")
    assert await verdict(Verifier(knows_its_keys, realm.issuer, AUDIENCE), master) == "bad_token"

    good = await realm.system()
    published = (await realm.http.get(f"{realm.issuer}/protocol/openid-connect/certs")).json()["keys"]
    [key] = [jwt.PyJWK.from_dict(one) for one in published if one["kid"] == jwt.get_unverified_header(good)["kid"]]
    for name, forged in forgeries(good, key.key).items():
        assert await asked(client, forged) == (401, "bad_token"), name
    assert await asked(client, good) == (200, "")


async def _expired(realm: Realm) -> None:
    await realm.admin("PUT", f"/{realm.name}", {"accessTokenLifespan": 1})
    token = await realm.system()
    strict = Verifier(RemoteKeys(realm.issuer), realm.issuer, AUDIENCE, leeway_seconds=0)
    said = ""
    async with asyncio.timeout(30):
        while said != "token_expired":
            said = await verdict(strict, token)
            assert said in {"good", "token_expired"}
            await asyncio.to_thread(lambda: None)
    lenient = Verifier(RemoteKeys(realm.issuer), realm.issuer, AUDIENCE, leeway_seconds=3_600)
    assert await verdict(lenient, token) == "good"
    await realm.admin("PUT", f"/{realm.name}", {"accessTokenLifespan": 1_800})


async def _rotated(realm: Realm, client: httpx.AsyncClient, judge: Verifier) -> None:
    old, old_but_unseen = await realm.system(), await realm.system()
    assert await asked(client, old) == (200, "")
    await realm.set_keys("next", 200, enabled=True)
    new = await realm.system()
    assert jwt.get_unverified_header(new)["kid"] != jwt.get_unverified_header(old)["kid"]
    other = await realm.system()
    assert await asked(client, new) == (200, "")
    assert await asked(client, old) == (200, "")

    asks_always = Verifier(RemoteKeys(realm.issuer, keep_seconds=0.0), realm.issuer, AUDIENCE)
    assert await verdict(asks_always, old) == "good"
    await realm.set_keys("rsa-generated", 100, enabled=False)
    assert await verdict(asks_always, old_but_unseen) == "unknown_key"
    assert await verdict(asks_always, other) == "good"
    assert await verdict(judge, old_but_unseen) == "good"  # the price of keeping keys: ten minutes


async def _gone(realm: Realm, client: httpx.AsyncClient) -> None:
    token, unseen = await realm.system(), await realm.system()
    asks_always = Verifier(RemoteKeys(realm.issuer, keep_seconds=0.0), realm.issuer, AUDIENCE)
    assert await verdict(asks_always, token) == "good"
    realm.server.stop()
    for one in (token, unseen):
        assert await asked(client, one) == (200, "")
        assert await verdict(asks_always, one) == "good"
    never_reached = Verifier(RemoteKeys(realm.issuer), realm.issuer, AUDIENCE)
    assert await verdict(never_reached, token) == "issuer_unavailable"
