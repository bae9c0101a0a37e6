"""Which partition a stream is published to: a fixed hash, ours, so that no client library's default can move a stream."""

import zlib

from shared.log.port import PARTITIONS


def partition_of(stream_id: str) -> int:
    """0…11: CRC-32 (the one of zlib and Ethernet) of the UTF-8 stream id, modulo 12. Frozen like the number of partitions."""
    return zlib.crc32(stream_id.encode()) % PARTITIONS
