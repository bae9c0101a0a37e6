"""W3C trace context: every request belongs to a trace, and so does every event that it led to."""

import os
import re
import uuid
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_ZERO = ("0" * 32, "0" * 16)


@dataclass(frozen=True, slots=True)
class Trace:
    """`trace_id` 32 and `span_id` 16 hexadecimal digits; the span is ours."""

    trace_id: str
    span_id: str
    flags: str = "01"

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    @property
    def correlation_id(self) -> uuid.UUID:
        return uuid.UUID(self.trace_id)


def continued(traceparent: str | None) -> Trace:
    """A span of our own in the caller's trace; in a new one when the header is missing or malformed, as the standard asks."""
    match = _TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
    if match is None or match[1] == _ZERO[0] or match[2] == _ZERO[1]:
        return Trace(os.urandom(16).hex(), os.urandom(8).hex())
    return Trace(match[1], os.urandom(8).hex(), match[3])
