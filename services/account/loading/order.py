"""In which order rows can be carried out that name each other as parents: what is above comes first."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """`waves`: places of items, each wave after the one before; items in a `circle` of parents are in none."""

    waves: Sequence[Sequence[int]]
    circle: frozenset[int]


def in_order(keys: Sequence[Hashable | None], parents: Sequence[Hashable | None]) -> Order:
    """`keys`: what each item is (None: nothing can name it), `parents`: what it names. Items of one key stay together."""
    names = [(place,) if key is None else key for place, key in enumerate(keys)]
    present = set(names)
    above: dict[Hashable, set[Hashable]] = {name: set() for name in names}
    for name, parent in zip(names, parents, strict=True):
        if parent is not None and parent in present:
            above[name].add(parent)
    below: dict[Hashable, set[Hashable]] = {name: set() for name in names}
    for name, ups in above.items():
        for up in ups:
            below[up].add(name)
    round_and_round = _left(below, set(_left(above, present)))
    free = {name: ups - round_and_round for name, ups in above.items()}
    level = _levels(free, below, present - round_and_round)
    waves: list[list[int]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for place, name in enumerate(names):
        if name not in round_and_round:
            waves[level[name]].append(place)
    return Order(waves, frozenset(place for place, name in enumerate(names) if name in round_and_round))


def _left(needed: dict[Hashable, set[Hashable]], names: set[Hashable]) -> set[Hashable]:
    """What remains when everything that needs nothing any more is taken away, again and again."""
    waiting = {name: needed[name] & names for name in names}
    needing: dict[Hashable, list[Hashable]] = {name: [] for name in names}
    for name, others in waiting.items():
        for other in others:
            needing[other].append(name)
    counts = {name: len(others) for name, others in waiting.items()}
    ready = [name for name, count in counts.items() if not count]
    while ready:
        name = ready.pop()
        del counts[name]
        for other in needing[name]:
            counts[other] -= 1
            if not counts[other]:
                ready.append(other)
    return set(counts)


def _levels(
    above: dict[Hashable, set[Hashable]], below: dict[Hashable, set[Hashable]], names: set[Hashable]
) -> dict[Hashable, int]:
    counts = {name: len(above[name]) for name in names}
    level: dict[Hashable, int] = {name: 0 for name, count in counts.items() if not count}
    ready = list(level)
    while ready:
        name = ready.pop()
        for other in below[name] & names:
            level[other] = max(level.get(other, 0), level[name] + 1)
            counts[other] -= 1
            if not counts[other]:
                ready.append(other)
    return level
