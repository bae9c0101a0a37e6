"""Writes `.env` for docker-compose.yml: `.env.example` with a random secret wherever it has an empty value.

    python deploy/env.py [FILE]

An existing file is never touched, for its passwords are those of the databases: it is checked. Docker Compose drops what it does
not know without a word. Standard library only.
"""

import os
import re
import secrets
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EMPTY = re.compile(r"^([A-Z0-9_]+)=$", re.MULTILINE)
NAMED = re.compile(r"^#?([A-Z0-9_]+)=", re.MULTILINE)
GIVEN = re.compile(r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
OURS = ("KEYFOLD_", "DATABASE_", "GATEWAY_", "POSTGRES_", "KEYCLOAK_", "KAFKA_", "ACCOUNT_", "OPPORTUNITY_")
OF_THE_ISSUER = {"KEYCLOAK_ADMIN_PASSWORD", "KEYFOLD_INTEGRATION_SECRET"}  # needed with the profile `issuer` only
SECRET_BYTES = 24  # in hexadecimal: they stand in addresses, where other characters would have to be escaped


def filled(example: str) -> str:
    """The text of the example with a secret of its own for every empty value."""
    return EMPTY.sub(lambda found: f"{found[1]}={secrets.token_hex(SECRET_BYTES)}", example)


def write(target: Path) -> bool:
    """False when the file is there already."""
    text = filled((ROOT / ".env.example").read_text(encoding="utf-8"))
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
    return True


def faults(text: str, example: str) -> Iterator[str]:
    """A line for each variable that is missing in the text of a `.env`, or that nothing reads. Never a value."""
    given = {name: value for name, value in GIVEN.findall(text) if value not in ("", '""', "''")}
    needed = {*EMPTY.findall(example), "KEYFOLD_ISSUER"}
    if "issuer" not in given.get("COMPOSE_PROFILES", ""):
        needed -= OF_THE_ISSUER
    for name in sorted(needed - set(given)):
        yield f"{name}: not set; .env.example says what it is"
    known = sorted(set(NAMED.findall(example)))
    for name in given:
        if name.upper().startswith(OURS) and name not in known:
            near = get_close_matches(name.upper(), known, n=1)
            yield f"{name}: nothing reads it" + (
                f"; is {near[0]} meant?" if near else "; .env.example lists what there is"
            )


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".env"
    if write(target):
        print(f"{target} is written, with random secrets; look through it before `docker compose up -d`")
        return 0
    found = list(faults(target.read_text(encoding="utf-8"), (ROOT / ".env.example").read_text(encoding="utf-8")))
    if found:
        print("\n".join([f"{target} stays as it is, and has faults:", *found]), file=sys.stderr)
        return 1
    print(f"{target} is there already, stays as it is, and is in order")
    return 0


if __name__ == "__main__":
    sys.exit(main())
