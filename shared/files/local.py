"""Files in a folder of this machine, or of one that several machines share: `<folder>/<first two digits>/<sha256>`."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from shared.files.port import CHUNK, FileLostError, FilesUnavailableError, Received
from shared.files.receiving import PREFIX, verified

ABANDONED_SECONDS = 24 * 3600.0  # no file is that long on its way: who received it is gone


class LocalFiles:
    """`folder` is made when the first file comes. Files are received below it, so that putting one is a rename."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swept = False

    @property
    def staging(self) -> Path:
        return self._folder / "incoming"

    async def put(self, received: Received) -> None:
        try:
            await asyncio.to_thread(self._put, received)
        except OSError as error:
            raise FilesUnavailableError(f"a file cannot be kept in {self._folder}: {error}") from error

    async def get(self, sha256: str, size: int) -> AsyncIterator[bytes]:
        path = self._path(sha256)
        try:
            kept = (await asyncio.to_thread(path.stat)).st_size
        except FileNotFoundError:
            raise FileLostError(f"{path} is not there") from None
        except OSError as error:
            raise FilesUnavailableError(f"{path} cannot be read: {error}") from error
        if kept != size:
            raise FileLostError(f"{path} has {kept} bytes, and had {size}")
        return verified(_chunks(path), sha256, size)

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256

    def _put(self, received: Received) -> None:
        """Written through, then renamed, then the names written through: after a power cut all of it is there, or nothing."""
        if not self._swept:
            self._sweep()
        target = self._path(received.sha256)
        target.parent.mkdir(exist_ok=True)
        _sync(received.path)
        received.path.replace(target)
        _sync(target.parent)
        _sync(self._folder)
        _sync(self._folder.parent)

    def _sweep(self) -> None:
        """What a process that was killed had begun to receive."""
        self._swept = True
        before = time.time() - ABANDONED_SECONDS
        for left in self.staging.glob(f"{PREFIX}*"):
            try:
                if left.stat().st_mtime < before:
                    left.unlink()
            except FileNotFoundError:
                continue  # another process was quicker


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    try:
        file = await asyncio.to_thread(path.open, "rb")
        try:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk
        finally:
            file.close()
    except OSError as error:
        raise FilesUnavailableError(f"{path} cannot be read: {error}") from error
