"""Where files are kept: the address decides."""

from shared.files.local import LocalFiles
from shared.files.port import Files
from shared.kit.file_address import Bucket, parse_file_address


def open_files(url: str, key: str | None = None, secret: str | None = None) -> Files:
    """`file:///folder` or `s3://bucket/prefix?endpoint=…&region=…`. Nothing is touched before the first file. Raises ValueError."""
    address = parse_file_address(url)
    if isinstance(address, Bucket):
        from shared.files.s3 import S3Files

        return S3Files(address, key, secret)
    return LocalFiles(address.path)
