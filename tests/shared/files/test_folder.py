"""Files in a folder: where they lie, and what is left of a process that was killed."""

import os
from pathlib import Path

import pytest

from shared.files.local import ABANDONED_SECONDS, LocalFiles
from shared.files.port import FileLostError, FilesUnavailableError
from shared.files.receiving import PREFIX, receive
from tests.shared.files.test_files import REPORT, got, of, put


async def test_nothing_is_made_before_the_first_file(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path / "data" / "files")
    with pytest.raises(FileLostError):
        await files.get("0" * 64, 1)
    assert not (tmp_path / "data").exists()
    sha256 = await put(files, REPORT)
    assert (tmp_path / "data" / "files" / sha256[:2] / sha256).read_bytes() == REPORT
    assert list(files.staging.iterdir()) == []


async def test_what_was_spoilt_is_mended_by_putting_it_again(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    sha256 = await put(files, REPORT)
    (tmp_path / sha256[:2] / sha256).write_bytes(b"spoilt")
    assert await put(files, REPORT) == sha256
    assert await got(files, sha256, len(REPORT)) == REPORT


async def test_what_was_cut_off_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    sha256 = await put(files, REPORT)
    (tmp_path / sha256[:2] / sha256).write_bytes(REPORT[:-1])
    with pytest.raises(FileLostError):
        await files.get(sha256, len(REPORT))


async def test_what_a_killed_process_left_is_swept_after_a_day(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    files.staging.mkdir()
    old, young, other = (files.staging / name for name in (f"{PREFIX}old", f"{PREFIX}young", "somebody else's"))
    for one in (old, young, other):
        one.touch()
    for one in (old, other):
        before = one.stat().st_mtime - ABANDONED_SECONDS - 60
        os.utime(one, (before, before))
    await put(files, REPORT)
    assert set(files.staging.iterdir()) == {young, other}


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file stands where the folder should be")
    files = LocalFiles(tmp_path / "files")
    with pytest.raises(FilesUnavailableError, match="files"):
        async with receive(of(REPORT), files.staging):
            raise AssertionError("it cannot be received")


async def test_a_folder_that_cannot_be_read_is_told_apart_from_a_file_that_is_lost(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    (tmp_path / "00").write_text("a file stands where the folder should be")
    with pytest.raises(FilesUnavailableError):
        await files.get("0" * 64, 1)
