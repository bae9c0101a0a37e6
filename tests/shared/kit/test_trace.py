"""Trace context: a caller's trace is continued, a malformed one is replaced."""

import uuid

import pytest

from shared.kit.trace import continued

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("flags", ["00", "01"])
def test_without_a_span_of_ours_the_callers_is_handed_on(flags: str) -> None:
    trace = continued(f" 00-{TRACE}-{SPAN}-{flags} ")
    assert trace.traceparent == f"00-{TRACE}-{SPAN}-{flags}"
    assert trace.correlation_id == uuid.UUID(TRACE)


@pytest.mark.parametrize(
    "header",
    [
        None, "", "garbage", f"00-{TRACE}-{SPAN}", f"00-{TRACE.upper()}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}-01-more", "0" * 10_000,
    ],
)  # fmt: skip
def test_without_a_good_header_a_trace_begins(header: str | None) -> None:
    first, second = continued(header), continued(header)
    assert first.trace_id not in (TRACE, second.trace_id)
    assert first.flags == "00", "nobody records a span of it"
    assert continued(first.traceparent).trace_id == first.trace_id
