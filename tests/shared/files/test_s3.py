"""Files in a bucket: what is told when it cannot be used."""

import asyncio
import hashlib

import pytest

from shared.files.open import open_files
from shared.files.port import FileLostError, FilesUnavailableError
from tests.shared.files.conftest import Given
from tests.shared.files.test_files import REPORT, got, put


async def test_a_wrong_secret_is_refused_by_the_store(s3: Given) -> None:
    files = open_files(f"{s3.url}?{s3.query}", s3.key, "another secret")
    with pytest.raises(FilesUnavailableError) as refused:
        await put(files, REPORT)
    assert "another secret" not in str(refused.value)
    with pytest.raises(FilesUnavailableError):
        await files.get(hashlib.sha256(REPORT).hexdigest(), len(REPORT))


async def test_a_bucket_that_is_not_there_is_named(s3: Given) -> None:
    files = open_files(f"s3://keyfold-no-such-bucket?{s3.query}", s3.key, s3.secret)
    with pytest.raises(FilesUnavailableError, match="keyfold-no-such-bucket"):
        await put(files, REPORT)


async def test_a_server_that_is_away_is_unavailable() -> None:
    nobody = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = nobody.sockets[0].getsockname()[1]
    nobody.close()
    await nobody.wait_closed()
    files = open_files(f"s3://bucket?endpoint=http://127.0.0.1:{port}", "key", "secret")
    with pytest.raises(FilesUnavailableError):
        await put(files, REPORT)


async def test_prefixes_keep_installations_apart(s3: Given) -> None:
    one, other = s3.open("test-one"), s3.open("test-other")
    sha256 = await put(one, REPORT)
    assert await got(one, sha256, len(REPORT)) == REPORT
    with pytest.raises(FileLostError):
        await other.get(sha256, len(REPORT))
