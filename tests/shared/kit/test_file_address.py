"""Addresses of files: a folder or a bucket, and what is neither."""

from pathlib import Path

import pytest

from shared.kit.file_address import Bucket, Folder, parse_file_address


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("file:///var/lib/keyfold/files", Folder(Path("/var/lib/keyfold/files"))),
        ("file:///srv/a%20b/文件", Folder(Path("/srv/a b/文件"))),
        ("s3://deals", Bucket("deals", "", None, "us-east-1")),
        ("s3://deals/north/files/?region=eu-west-1", Bucket("deals", "north/files", None, "eu-west-1")),
        ("s3://deals?endpoint=http://minio:9000", Bucket("deals", "", "http://minio:9000", "us-east-1")),
    ],
)
def test_an_address_is_a_folder_or_a_bucket(url: str, meant: Folder | Bucket) -> None:
    assert parse_file_address(url) == meant


@pytest.mark.parametrize(
    "url",
    [
        "",
        "files",
        "/var/files",
        "ftp://hunter2/files",
        "file://hunter2/files",
        "file:///",
        "file:///files?hunter2=1",
        "s3://",
        "s3:///hunter2",
        "s3://deals:9000/hunter2",
        "s3://key:hunter2@deals",
        "s3://deals?endpoint=hunter2:9000",
        "s3://deals?endpoint=http://key:hunter2@minio",
        "s3://deals?endpont=http://hunter2",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        parse_file_address(url)
    assert "hunter2" not in str(refused.value)
