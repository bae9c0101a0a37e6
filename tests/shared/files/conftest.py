"""A store of each kind: a folder, and a bucket of a server that speaks S3 and checks every signature.

KEYFOLD_S3 (with KEYFOLD_S3_KEY and KEYFOLD_S3_SECRET) names the empty bucket of another server, as KEYFOLD_FILES_URL would.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from shared.files.open import open_files
from shared.files.port import Files

KEY, SECRET = "a key of the tests", "a secret of the tests"
STARTED = "running on "
SECONDS = 30


@dataclass(frozen=True)
class Given:
    """`url` of a bucket, without its query; `folder`: where the server keeps its objects, None: not known."""

    url: str
    query: str
    key: str
    secret: str
    folder: Path | None = None

    def open(self, prefix: str) -> Files:
        return open_files(f"{self.url}/{prefix}?{self.query}", self.key, self.secret)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def s3(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Given]:
    named = os.environ.get("KEYFOLD_S3")
    if named:
        url, _, query = named.partition("?")
        yield Given(url.rstrip("/"), query, os.environ["KEYFOLD_S3_KEY"], os.environ["KEYFOLD_S3_SECRET"])
        return
    folder = tmp_path_factory.mktemp("s3")
    (folder / "bucket").mkdir()
    options = (
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(_free_port()),
        "--data-dir",
        str(folder),
        "--no-access-log",
    )
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nanio", *options,
        env={**os.environ, "NANIO_ACCESS_KEY": KEY, "NANIO_SECRET_KEY": SECRET},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        address = await asyncio.wait_for(_address(server), SECONDS)
        yield Given("s3://bucket", f"endpoint={address}", KEY, SECRET, folder / "bucket")
    finally:
        if server.returncode is None:
            server.terminate()
        await server.communicate()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def _address(server: asyncio.subprocess.Process) -> str:
    """Where it says that it listens."""
    assert server.stderr is not None
    said = ""
    while line := (await server.stderr.readline()).decode():
        said += line
        if STARTED in line:
            return line.partition(STARTED)[2].split()[0]
    raise AssertionError(f"the server for S3 ended before it began:\n{said}")


@dataclass(frozen=True)
class Store:
    """`kept`: the one file below the store, to spoil it; None where the server is not ours."""

    files: Files
    folder: Path | None

    def kept(self, sha256: str) -> Path | None:
        return None if self.folder is None else self.folder / sha256[:2] / sha256


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Empty."""
    if request.param == "folder":
        return Store(open_files(f"file://{tmp_path}/files"), tmp_path / "files")
    given: Given = request.getfixturevalue("s3")
    prefix = uuid4().hex
    return Store(given.open(prefix), None if given.folder is None else given.folder / prefix)
