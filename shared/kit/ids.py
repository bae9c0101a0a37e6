"""Identifiers: time-ordered UUIDs (RFC 9562, version 7), made at the edge and never inside `decide`."""

import os
import time
import uuid


def new_id() -> uuid.UUID:
    """A version 7 UUID: 48 bits of Unix milliseconds, then random bits. Sorts by time of creation."""
    millis = time.time_ns() // 1_000_000
    value = (millis & ((1 << 48) - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return uuid.UUID(int=value)


def derived_id(namespace: uuid.UUID, name: str) -> uuid.UUID:
    """The same id for the same name, for ever (UUID version 5): what a retry or a re-import must find again."""
    return uuid.uuid5(namespace, name)
