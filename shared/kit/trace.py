"""W3C trace context: every request belongs to a trace, and so does every event that it led to."""

import os
import re
import uuid
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_ZERO = ("0" * 32, "0" * 16)


@dataclass(frozen=True, slots=True)
class Trace:
    """`trace_id` 32 and `span_id` 16 hexadecimal digits: where in the trace we are. `flags` 01: its spans are recorded."""

    trace_id: str
    span_id: str
    flags: str = "00"

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    @property
    def correlation_id(self) -> uuid.UUID:
        return uuid.UUID(self.trace_id)


def parse_traceparent(traceparent: str | None) -> Trace | None:
    """None when it is missing or malformed: then, says the standard, a new trace begins."""
    match = _TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
    if match is None or match[1] == _ZERO[0] or match[2] == _ZERO[1]:
        return None
    return Trace(match[1], match[2], match[3])


def continued(traceparent: str | None) -> Trace:
    """Where nobody records spans of ours: the caller's place in the caller's trace, or a new trace, not sampled.

    A span id of our own would be one that no collector ever sees, and would cut what follows off from the caller's span.
    """
    return parse_traceparent(traceparent) or Trace(os.urandom(16).hex(), os.urandom(8).hex())
