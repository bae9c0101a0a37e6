"""What lies in a backup: a manifest, a dump for each service, the attached files, and the sums that hold all of it together.

    manifest.json  SHA256SUMS  account.dump  opportunity.dump  files/ab/ab12…  secret  issuer-key.pem

The last two are those of the embedded form. `sha256sum -c SHA256SUMS` checks it without Keyfold.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

MANIFEST, SUMS, FILES, SECRET, ISSUER_KEY = "manifest.json", "SHA256SUMS", "files", "secret", "issuer-key.pem"
FORMAT = 1
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
Advance = Callable[[int, int | None], None]
"""Done, of how many."""


class BackupError(Exception):
    """The backup cannot be made, or not be used; nothing was changed unless the message says so."""


class SavedService(BaseModel, frozen=True):
    """`head`: position of the last event; `published`: how far its relay was. `read`: topic → the furthest position that one of its
    readers had taken."""

    database: str
    dump: str
    head: int
    published: int
    read: dict[str, int]


class Manifest(BaseModel, frozen=True):
    """`server` and `dumped_by`: major versions of PostgreSQL. `secret`: a fingerprint. `settings`: what is no secret. `files`: how
    many are in the backup, None when they were left out; `lost`: digests of files on record whose bytes were not there any more."""

    format: Literal[1]
    made_at: datetime
    keyfold: str
    server: int
    dumped_by: int
    services: dict[str, SavedService]
    files: int | None
    lost: tuple[str, ...]
    secret: str
    settings: dict[str, str]


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def begin(folder: Path) -> Path:
    """A folder beside it, readable by its owner only, in which it is built. Raises BackupError when the folder is there."""
    if folder.exists():
        raise BackupError(f"{folder} is there already: a backup is made in a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".partial", dir=folder.parent))


def seal(folder: Path, target: Path, manifest: Manifest) -> None:
    """Write manifest and sums, all of it through to the disk, and give it its name."""
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    found = sorted(_names(folder))
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in found]
    (folder / SUMS).write_text("".join(lines))
    for path in (*folder.rglob("*"), folder):
        _sync(path)
    folder.rename(target)
    _sync(target.parent)


def read_backup(folder: Path, advance: Advance) -> Manifest:
    """The manifest of a backup that is whole. Raises BackupError naming what is missing, damaged or does not belong there."""
    try:
        lines = (folder / SUMS).read_text().splitlines()
        sums = _sums(folder, lines)
        faults = _faults(folder, sums, advance)
    except (OSError, UnicodeDecodeError) as problem:
        raise BackupError(f"{folder} is no backup, or not a whole one: {problem}") from None
    if faults:
        told = "\n".join(faults[:20]) + ("\n…" if len(faults) > 20 else "")
        raise BackupError(f"the backup {folder} is damaged:\n{told}")
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except ValidationError as problem:
        raise BackupError(
            f"{folder / MANIFEST} is not of format {FORMAT}; was it made by another release? {problem.errors()[0]['msg']}"
        ) from None
    wanted = {one.dump for one in manifest.services.values()}
    if missing := sorted(wanted - sums.keys()):
        raise BackupError(f"the backup {folder} lacks {', '.join(missing)}")
    return manifest


def _sums(folder: Path, lines: list[str]) -> Mapping[str, str]:
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None or not (folder / match[2]).resolve().is_relative_to(folder.resolve()):
            raise BackupError(f"line {number} of {folder / SUMS} is none that `keyfold backup` writes")
        sums[match[2]] = match[1]
    return sums


def _faults(folder: Path, sums: Mapping[str, str], advance: Advance) -> list[str]:
    found = set(_names(folder)) - {SUMS}
    faults = [f"{name}: missing" for name in sorted({*sums, MANIFEST} - found)]
    faults += [f"{name}: not in {SUMS}" for name in sorted(found - sums.keys())]
    for number, name in enumerate(sorted(found & sums.keys()), 1):
        if sha256_of(folder / name) != sums[name]:
            faults.append(f"{name}: its SHA-256 is another")
        advance(number, len(sums))
    return faults


def _names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
