"""Addresses of places where files are kept: `file:///folder`, or `s3://bucket/prefix?endpoint=https://host&region=…`."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

DEFAULT_REGION = "us-east-1"  # what stores that have no regions call themselves


@dataclass(frozen=True, slots=True)
class Folder:
    """An absolute path."""

    path: Path


@dataclass(frozen=True, slots=True)
class Bucket:
    """`prefix`: what every key begins with, without slashes at its ends. `endpoint` None: that of AWS in the region."""

    name: str
    prefix: str
    endpoint: str | None
    region: str


def parse_file_address(url: str) -> Folder | Bucket:
    """Raises ValueError, which never repeats the address."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError("keys do not belong into the address: set KEYFOLD_FILES_KEY and KEYFOLD_FILES_SECRET")
    if parts.scheme == "file":
        return _folder(parts.netloc, parts.path, parts.query)
    if parts.scheme == "s3":
        return _bucket(parts.netloc, parts.path, parts.query)
    raise ValueError("an address begins with one of file://, s3://")


def _folder(host: str, path: str, query: str) -> Folder:
    if host or not path.strip("/") or query:
        raise ValueError("a folder is file:///an/absolute/path, with three slashes")
    return Folder(Path(unquote(path)))


def _bucket(name: str, path: str, query: str) -> Bucket:
    if not name or ":" in name:
        raise ValueError("an address that begins with s3:// names a bucket: s3://bucket?endpoint=https://host:port")
    said = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(said.keys() - {"endpoint", "region"})
    if unknown:
        raise ValueError(f"an address of files has no parameter {', '.join(unknown)}, only endpoint and region")
    endpoint = said.get("endpoint")
    if endpoint is not None:
        where = urlsplit(endpoint)
        if where.scheme not in ("http", "https") or not where.hostname or "@" in where.netloc:
            raise ValueError("the endpoint begins with https:// or http:// and names a host")
    return Bucket(name, unquote(path).strip("/"), endpoint, said.get("region") or DEFAULT_REGION)
