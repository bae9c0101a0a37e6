"""What every place for files keeps to."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.files.port import CHUNK, FileLostError, Files, FilesUnavailableError
from shared.files.receiving import BUFFER, receive
from shared.files.s3 import PART
from tests.shared.files.conftest import Store

REPORT = "Visit report · 拜访报告".encode()


async def of(content: bytes, chunk: int = 100_000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), chunk):
        yield content[at : at + chunk]


async def put(files: Files, content: bytes) -> str:
    async with receive(of(content), files.staging) as received:
        await files.put(received)
        return received.sha256


async def got(files: Files, sha256: str, size: int) -> bytes:
    return b"".join([chunk async for chunk in await files.get(sha256, size)])


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, BUFFER + 1, 2 * PART + 1])
async def test_what_was_put_is_got(store: Store, size: int) -> None:
    content = (b"0123456789abcde" * (size // 15 + 1))[:size]
    sha256 = await put(store.files, content)
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert await got(store.files, sha256, size) == content


async def test_a_large_file_is_got_in_chunks(store: Store) -> None:
    content = bytes(4 * BUFFER)
    chunks = [len(chunk) async for chunk in await store.files.get(await put(store.files, content), len(content))]
    assert sum(chunks) == len(content)
    assert max(chunks) <= BUFFER


async def test_the_same_bytes_are_put_twice_and_side_by_side(store: Store) -> None:
    digests = await asyncio.gather(*(put(store.files, REPORT) for _ in range(5)))
    assert digests == [hashlib.sha256(REPORT).hexdigest()] * 5
    assert await put(store.files, REPORT) == digests[0]
    assert await got(store.files, digests[0], len(REPORT)) == REPORT


async def test_many_files_lie_side_by_side(store: Store) -> None:
    contents = [REPORT + bytes([number]) for number in range(20)]
    digests = await asyncio.gather(*(put(store.files, one) for one in contents))
    assert [await got(store.files, one, len(REPORT) + 1) for one in digests] == contents


async def test_what_was_never_put_is_not_there(store: Store) -> None:
    await put(store.files, REPORT)
    with pytest.raises(FileLostError):
        await store.files.get(hashlib.sha256(b"other").hexdigest(), 5)


async def test_what_was_received_and_not_put_is_gone(store: Store) -> None:
    async with receive(of(REPORT), store.files.staging) as received:
        assert (received.size, received.path.read_bytes()) == (len(REPORT), REPORT)
    assert not received.path.exists()
    with pytest.raises(FileLostError):
        await store.files.get(received.sha256, received.size)


async def test_what_breaks_off_leaves_nothing(store: Store, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield REPORT
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        async with receive(broken(), tmp_path / "incoming"):
            raise AssertionError("it was never complete")
    assert list((tmp_path / "incoming").iterdir()) == []


async def test_bytes_that_are_not_those_that_were_put_are_not_given_out(store: Store) -> None:
    content = bytes(3 * CHUNK)
    sha256 = await put(store.files, content)
    kept = store.kept(sha256)
    if kept is None:
        pytest.skip("the server's own files cannot be reached")
    kept.chmod(0o600)
    kept.write_bytes(content[:-1] + b"!")
    chunks = await store.files.get(sha256, len(content))
    assert await anext(chunks)
    with pytest.raises(FileLostError):
        _ = [chunk async for chunk in chunks]


async def test_a_file_that_was_cut_off_is_not_given_out(store: Store) -> None:
    sha256 = await put(store.files, REPORT)
    kept = store.kept(sha256)
    if kept is None:
        pytest.skip("the server's own files cannot be reached")
    kept.chmod(0o600)
    kept.write_bytes(REPORT[:-1])
    with pytest.raises((FileLostError, FilesUnavailableError)):
        await got(store.files, sha256, len(REPORT))
