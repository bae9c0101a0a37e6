"""Where a reader stands in a partition, and what a record is to it. Pure.

Every record names the position of the one before it in its partition. A reader at position p takes the record that follows p,
drops what it has had, and, when records between are missing, takes nothing until it meets the one that follows p. A record
that claims another predecessor than the one that was taken belongs to another history.
"""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["take", "drop", "missing", "conflict"]


@dataclass(slots=True)
class PartitionCursor:
    """`position` of the last event taken, `offset` of the next record to read; `gap` while records are missing."""

    position: int
    offset: int
    gap: str | None = None
    stopped: bool = False

    def judge(self, position: int, previous: int) -> Verdict:
        if position <= self.position:
            return "drop"
        if previous > self.position:
            if (
                self.gap is None
            ):  # the first record after the gap names what is missing, later ones their own neighbours
                self.gap = f"after position {self.position} comes {position}, whose predecessor {previous} was not read"
            return "missing"
        if previous < self.position:
            return "conflict"
        self.gap = None
        return "take"
