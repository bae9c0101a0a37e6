"""Files in a bucket of an S3-compatible store: `<prefix>/<first two digits>/<sha256>`. The bucket must be there."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from shared.files.port import CHUNK, FileLostError, FilesUnavailableError, Received
from shared.files.receiving import verified
from shared.kit.file_address import Bucket

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ClientConfig, RetryConfig, S3Config

PART = 8 * 1024 * 1024  # bytes of a larger file that are sent at once
PARTS = 2  # at the same time: what a file takes of memory
_CLIENT: "ClientConfig" = {"connect_timeout": "5s", "timeout": "10m"}  # a slow caller takes his time to fetch a file
_RETRY: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


class S3Files:
    """`key` and `secret` None: as the environment says, or by the role of the machine. Connects when first used.

    What is sent is signed together with its digest, so that the store refuses what was changed on the way.
    """

    def __init__(self, bucket: Bucket, key: str | None, secret: str | None) -> None:
        config: S3Config = {"region": bucket.region}
        client = _CLIENT
        if bucket.endpoint is not None:
            config["endpoint"] = bucket.endpoint
            client = {**client, "allow_http": bucket.endpoint.startswith("http://")}
        if key is not None and secret is not None:
            config["access_key_id"], config["secret_access_key"] = key, secret
        self._bucket = bucket
        self._store = S3Store(
            bucket.name, prefix=bucket.prefix or None, config=config, client_options=client, retry_config=_RETRY
        )

    @property
    def staging(self) -> None:
        return None

    async def put(self, received: Received) -> None:
        key = _key(received.sha256)
        try:
            if await self._size(key) == received.size:
                return
            await obstore.put_async(self._store, key, received.path, chunk_size=PART, max_concurrency=PARTS)
            kept = await self._size(key)
        except FileNotFoundError:
            raise FilesUnavailableError(f"there is no bucket {self._bucket.name}, or not for us") from None
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from error
        if kept != received.size:
            raise FilesUnavailableError(f"the bucket {self._bucket.name} kept {kept} bytes of {received.size}")

    async def get(self, sha256: str, size: int) -> AsyncIterator[bytes]:
        try:
            found = await obstore.get_async(self._store, _key(sha256))
        except FileNotFoundError:
            raise FileLostError(f"{_key(sha256)} is not in the bucket {self._bucket.name}") from None
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from error
        if found.meta["size"] != size:
            raise FileLostError(f"{_key(sha256)} has {found.meta['size']} bytes, and had {size}")
        return verified(self._chunks(found), sha256, size)

    async def _chunks(self, found: "GetResult") -> AsyncIterator[bytes]:
        try:
            async for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from error

    async def _size(self, key: str) -> int | None:
        try:
            return (await obstore.head_async(self._store, key))["size"]
        except FileNotFoundError:
            return None

    def _unavailable(self, error: Exception) -> FilesUnavailableError:
        return FilesUnavailableError(
            f"the bucket {self._bucket.name} cannot be used: {' '.join(str(error).split())[:500]}"
        )


def _key(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"
