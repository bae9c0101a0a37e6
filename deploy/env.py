"""Writes `.env` for docker-compose.yml: `.env.example` with a random secret wherever it has an empty value.

    python deploy/env.py [FILE]

An existing file is never touched: its passwords are those of the databases. Standard library only.
"""

import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EMPTY = re.compile(r"^([A-Z0-9_]+)=$", re.MULTILINE)
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


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".env"
    if write(target):
        print(f"{target} is written, with random secrets; look through it before `docker compose up -d`")
        return 0
    print(f"{target} is there already and stays as it is: its passwords are those of the databases", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
