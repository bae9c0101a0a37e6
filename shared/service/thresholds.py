"""From when on an operator must know: for `keyfold lag --check`, and the same in `deploy/prometheus/alerts.yml`."""

from typing import Literal

LATE_SECONDS = 60.0  # of a relay, a read model or a reactor: the oldest that it has still to take is older
DUE_LATE_SECONDS = 300.0  # of due dates

Status = Literal["ok", "late", "parked", "stopped", "unknown"]


def status_of(
    *, state: str, seconds: float | None, parked: int = 0, alarms: int = 0, workers: int = 1, late: float = LATE_SECONDS
) -> Status:
    """How a reader stands. `state`: that of its generation; one that is being built, or was switched from, may be late."""
    if alarms or not workers:
        return "stopped"
    if parked:
        return "parked"
    if state in ("old", "building"):
        return "ok"
    if seconds is None:
        return "unknown"
    return "late" if seconds > late else "ok"
