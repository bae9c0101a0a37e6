"""The invented service that the faults happen to: callers count things in lines; read models that show every event that is
lost, doubled or out of order.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, Text

from shared.contracts.event import Contract, Event, Recorded, stream_of
from shared.contracts.refusal import refuse
from shared.eventstore.aggregate import Aggregate
from shared.eventstore.commands import Decide, Work
from shared.eventstore.types import JsonObject
from shared.projections.definition import Projection, Rows
from shared.service.definition import Service
from shared.service.visibility import NOTHING, Scope

TALLY = Contract("tally")
MARK = 1_000_003


@TALLY.event("tally.counted")
class Counted(Event):
    """`key` names the command, which has one such event in each of its streams. A `bad` one is too much for broken code."""

    key: str
    caller: str
    n: int
    bad: bool = False


@TALLY.event("tally.graded", 2)
class Graded(Event):
    """Counts like the other, in hundredths."""

    key: str
    caller: str
    hundredths: int


@TALLY.upcast("tally.graded", 1)
def _whole_to_hundredths(data: JsonObject) -> JsonObject:
    return {"key": data["key"], "caller": data["caller"], "hundredths": data["whole"] * 100}


def amount(event: Any) -> int:
    return int(event.n) if isinstance(event, Counted) else int(event.hundredths)


def _evolve(total: int, recorded: Recorded[Any]) -> int:
    return total + amount(recorded.event)


LINE = Aggregate("tally", 0, _evolve)


def stream(line: str) -> str:
    return stream_of("tally", line)


def count(key: str, caller: str, lines: Sequence[str], n: int, *, bad: bool = False, first: bool = False) -> Decide:
    """Count `n` in each line. The answer depends on the state, so that a second execution would give another one; with `first`,
    which refuses a line that is there already, it would be refused.
    """

    async def decide(work: Work) -> JsonObject:
        totals = {}
        for line in lines:
            loaded = await work.state(LINE, line)
            if first and loaded.exists:
                raise refuse("exists", f"{line} is there already")
            totals[line] = loaded.state + n
            work.append(LINE, line, Counted(key=key, caller=caller, n=n, bad=bad))
        return {"key": key, "totals": totals}

    return decide


# --- read models. `mark` depends on the order of a line's events.

broken = False
"""Set by the program that plays a release with a bug: it cannot take bad events."""

tally_lines = Projection("tally_lines", sources=[TALLY])
line_table = tally_lines.table(
    "line",
    Column("line", Text, primary_key=True),
    Column("events", Integer, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("mark", BigInteger, nullable=False),
)


@tally_lines.on(Counted, Graded)
def line_counted(rows: Rows, e: Recorded[Any]) -> None:
    if broken and isinstance(e.event, Counted) and e.event.bad:
        raise ValueError(f"this release cannot take {e.event.key}")
    row = rows.one(line_table, e.entity_id) or {"line": e.entity_id, "events": 0, "total": 0, "mark": 0}
    n = amount(e.event)
    row |= {"events": row["events"] + 1, "total": row["total"] + n, "mark": (row["mark"] * 31 + n) % MARK}
    rows.put(line_table, row)


tally_callers = Projection("tally_callers", sources=[TALLY])
caller_table = tally_callers.table(
    "caller",
    Column("caller", Text, primary_key=True),
    Column("events", Integer, nullable=False),
    Column("total", BigInteger, nullable=False),
)


@tally_callers.on(Counted, Graded, key=lambda e: [e.event.caller])
def caller_counted(rows: Rows, e: Recorded[Any]) -> None:
    caller = e.event.caller
    row = rows.one(caller_table, caller) or {"caller": caller, "events": 0, "total": 0}
    rows.put(caller_table, row | {"events": row["events"] + 1, "total": row["total"] + amount(e.event)})


PROJECTIONS = (tally_lines, tally_callers)


async def _find(*_: object) -> Scope:
    return NOTHING


SERVICE = Service(
    name="tally",
    title="Tally",
    description="Counts.",
    contract=TALLY,
    projections=PROJECTIONS,
    routers=(),
    find=_find,
    found_in=(),
)


def use_topic(topic: str) -> None:
    """One broker serves many tests: each has a topic of its own."""
    TALLY.topic = topic
