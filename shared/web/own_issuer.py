"""The embedded form's own issuer: a key pair in the data folder, and tokens for a first look and for scripts."""

import base64
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from shared.kit.api_key import SUBJECT_PREFIX
from shared.kit.permissions import ROLES
from shared.web.auth import LONGEST_SUBJECT, good_subject, unauthorised

ISSUER = "https://keyfold.invalid/embedded"
DAY = 86_400


class OwnIssuer:
    """Implements `Keys`. The private key is made once and is readable by its owner only."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        public: dict[str, Any] = json.loads(OKPAlgorithm.to_jwk(key.public_key()))
        thumbprint = json.dumps(
            {name: public[name] for name in ("crv", "kty", "x")}, separators=(",", ":"), sort_keys=True
        )
        digest = hashlib.sha256(thumbprint.encode()).digest()  # RFC 7638
        self.key_id = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        self._jwk = public | {"kid": self.key_id, "use": "sig", "alg": "EdDSA"}

    @classmethod
    def open(cls, folder: Path) -> "OwnIssuer":
        """The issuer of a data folder; its key is made when there is none."""
        file = folder / "issuer-key.pem"
        if not file.exists():
            _make_key(file)
        key = serialization.load_pem_private_key(file.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{file} is no Ed25519 key")
        return cls(key)

    def jwks(self) -> dict[str, Any]:
        return {"keys": [self._jwk]}

    async def find(self, key_id: str | None) -> Any:
        if key_id != self.key_id:
            raise unauthorised("unknown_key", "the token is signed with another key than this installation's")
        return jwt.PyJWK.from_dict(self._jwk)

    def mint(self, subject: str, roles: tuple[str, ...], audience: str, days: float = 30) -> str:
        """A token. Raises ValueError for an unknown role, or a subject that no event could name."""
        if not good_subject(subject):
            form = f"1 to {LONGEST_SUBJECT} printable characters, no slash, and does not begin with {SUBJECT_PREFIX}"
            raise ValueError(f"a subject has {form}, not {subject!r}")
        if unknown := [role for role in roles if role not in ROLES]:
            raise ValueError(f"unknown role {', '.join(unknown)}; there are {', '.join(ROLES)}")
        now = int(time.time())
        claims = {
            "iss": ISSUER, "aud": audience, "sub": subject, "roles": list(roles), "iat": now, "exp": now + int(days * DAY),
        }  # fmt: skip
        return jwt.encode(claims, self._key, algorithm="EdDSA", headers={"kid": self.key_id})


def _make_key(file: Path) -> None:
    """Another process may do the same at this moment: the first one's key stays, and nobody sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = file.with_name(f"{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(pem)
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
