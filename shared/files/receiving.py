"""Taking in a file of any size a chunk at a time: onto disk, its digest reckoned on the way."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shared.files.port import FileLostError, FilesUnavailableError, Received

BUFFER = 1024 * 1024  # bytes held in memory
PREFIX = "keyfold-incoming-"


@asynccontextmanager
async def receive(chunks: AsyncIterable[bytes], staging: Path | None) -> AsyncIterator[Received]:
    """The file, until the block is left: what was not put by then is gone.

    Raises FilesUnavailableError where it cannot be written, and whatever `chunks` raises.
    """
    try:
        incoming = await asyncio.to_thread(_Incoming, staging)
    except OSError as error:
        raise FilesUnavailableError(f"a file cannot be received: {error}") from error
    try:
        waiting = bytearray()
        async for chunk in chunks:
            waiting += chunk
            if len(waiting) >= BUFFER:
                await _written(incoming, waiting)
                waiting = bytearray()
        await _written(incoming, waiting)
        incoming.close()
        yield Received(incoming.path, incoming.digest.hexdigest(), incoming.size)
    finally:
        incoming.discard()


async def _written(incoming: "_Incoming", content: bytearray) -> None:
    try:
        await asyncio.to_thread(incoming.write, content)
    except OSError as error:
        raise FilesUnavailableError(f"a file cannot be received: {error}") from error


class _Incoming:
    """A file of its own, open for writing."""

    def __init__(self, staging: Path | None) -> None:
        if staging is not None:
            staging.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=PREFIX, dir=staging)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self.path, self.digest, self.size = Path(name), hashlib.sha256(), 0

    def write(self, content: bytearray) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.digest.update(content)
        self.size += len(content)

    def close(self) -> None:
        self._file.close()

    def discard(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)


async def verified(chunks: AsyncIterator[bytes], sha256: str, size: int) -> AsyncIterator[bytes]:
    """The chunks, the last one only when all of them together are what they should be. Raises FileLostError."""
    digest, read, held = hashlib.sha256(), 0, b""
    async for chunk in chunks:
        digest.update(chunk)
        read += len(chunk)
        if held:
            yield held
        held = chunk
    if read != size or digest.hexdigest() != sha256:
        raise FileLostError(f"what is kept as {sha256} has {read} of {size} bytes, and the digest {digest.hexdigest()}")
    if held:
        yield held
