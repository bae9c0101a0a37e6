"""One measure a file: what is compared, under which conditions, and the rows that come of it."""

from collections.abc import Awaitable, Callable, Sequence

from bench.harness import Bench, Row
from bench.measures import (
    append,
    batches,
    commands,
    growth,
    http,
    imports,
    memory,
    projections,
    reads,
    relay,
    scaling,
    visibility,
    writers,
)

Measure = Callable[[Bench], Awaitable[Sequence[Row]]]

MEASURES: dict[str, Measure] = {
    "append": append.measure,
    "commands": commands.measure,
    "writers": writers.measure,
    "batches": batches.measure,
    "http": http.measure,
    "projections": projections.measure,
    "relay": relay.measure,
    "visibility": visibility.measure,
    "reads": reads.measure,
    "growth": growth.measure,
    "memory": memory.measure,
    "imports": imports.measure,
    "scaling": scaling.measure,
}
"""In the order in which they are run."""
