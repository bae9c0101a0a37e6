"""Position tokens: how far a caller has written, so that a read can wait until that is visible.

Grammar: `service/partition@position`, several separated by commas, at most one per service and partition.
"""

import re
from collections.abc import Iterable, Mapping

PositionToken = Mapping[tuple[str, int], int]
"""(service, partition) → the position that must have been applied."""

_PART = re.compile(r"([a-z_]{1,40})/(\d{1,4})@(\d{1,18})")
LONGEST = 2_000


class BadTokenError(ValueError):
    """The text is no position token; the message says what one looks like."""


def parse_token(text: str) -> dict[tuple[str, int], int]:
    """Raises BadTokenError."""
    positions: dict[tuple[str, int], int] = {}
    parts = [part.strip() for part in text.split(",")] if len(text) <= LONGEST else [""]
    for part in parts:
        match = _PART.fullmatch(part)
        if match is None:
            raise BadTokenError("a position token looks like opportunity/3@1234, several separated by commas")
        key = match[1], int(match[2])
        positions[key] = max(int(match[3]), positions.get(key, 0))
    return positions


def format_token(positions: PositionToken) -> str:
    return ",".join(f"{service}/{partition}@{at}" for (service, partition), at in sorted(positions.items()))


def merge(tokens: Iterable[PositionToken]) -> dict[tuple[str, int], int]:
    """The furthest of each."""
    merged: dict[tuple[str, int], int] = {}
    for token in tokens:
        for key, position in token.items():
            merged[key] = max(position, merged.get(key, 0))
    return merged
