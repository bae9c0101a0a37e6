"""The port through which files are kept, by what they contain: the same bytes are kept once, under their SHA-256.

A file is first received into a place of its own (`shared/files/receiving.py`), so that its digest and size are known before
anything is decided, then `put`, and only then is the fact recorded that names it. Bytes that were put for a fact that never came
are harmless: nobody names them, and whoever puts the same again finds them there. Nothing is ever deleted or changed.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CHUNK = 256 * 1024  # bytes that are read at once


class FilesUnavailableError(Exception):
    """The place where files are kept cannot be used now; the message says why, for whoever runs it."""


class FileLostError(Exception):
    """Bytes that were put are not there, or are not those that were put."""


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes on their way: a file below `staging`, complete and closed. `sha256` in lower hexadecimal, `size` in bytes."""

    path: Path
    sha256: str
    size: int


class Files(Protocol):
    """`staging`: the folder in which to receive what will be put; None: any."""

    @property
    def staging(self) -> Path | None: ...

    async def put(self, received: Received) -> None:
        """On return the bytes are durable. May take the file at `received.path` away. Putting again what is there does no harm.

        Raises FilesUnavailableError; then the bytes are there or not, never in part.
        """

    async def get(self, sha256: str, size: int) -> AsyncIterator[bytes]:
        """The bytes, a chunk at a time. They are held against digest and size: of others the last chunk never comes.

        Raises FileLostError (also half way), FilesUnavailableError.
        """
