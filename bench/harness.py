"""What every measure uses: sizes, interleaved rounds, medians, rows."""

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.servers import Servers

ROUNDS = 5
Contender = Callable[[], Awaitable[float]]
"""Runs once and tells its figure."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report. `ratio` is that of the target, if it compares; `met` None: there is no target, or it was not
    measured at full size."""

    measure: str
    what: str
    figure: str
    against: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Bench:
    """A run: `quick` has sizes too small to judge by, to see that everything works."""

    servers: Servers
    quick: bool = False
    said: list[str] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        return 1 if self.quick else ROUNDS

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def seconds(self, full: float, quick: float = 0.2) -> float:
        return quick if self.quick else full

    def judge(self, met: bool) -> bool | None:
        return None if self.quick else met


@dataclass(frozen=True, slots=True)
class Samples:
    """What the rounds of one contender gave, in their order."""

    figures: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.figures)

    def over(self, other: "Samples") -> "Samples":
        """Round by round: what disturbs the machine for a while disturbs both of a pair, and their ratio little."""
        return Samples(tuple(mine / theirs for mine, theirs in zip(self.figures, other.figures, strict=True)))

    @property
    def spread(self) -> str:
        return f"{min(self.figures):.3g}–{max(self.figures):.3g}"


async def interleaved(bench: Bench, contenders: Mapping[str, Contender], *, warm_up: bool = True) -> dict[str, Samples]:
    """Run each once a round, beginning with another one every time; a first round to warm up does not count."""
    names = list(contenders)
    taken: dict[str, list[float]] = {name: [] for name in names}
    if warm_up and not bench.quick:
        for name in names:
            await contenders[name]()
    for number in range(bench.rounds):
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            taken[name].append(await contenders[name]())
    return {name: Samples(tuple(figures)) for name, figures in taken.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1))]


def rate(figure: float, unit: str = "events/s") -> str:
    return f"{figure:,.0f} {unit}"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"
