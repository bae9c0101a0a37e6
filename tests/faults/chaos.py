"""What dies when: dice with a seed that is told, so that a run that found something can be thrown again."""

import os
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import orjson

T = TypeVar("T")
SEED = "KEYFOLD_SEED"
SOAK = "KEYFOLD_SOAK"
BOOK = "KEYFOLD_FAULTS_BOOK"  # a file that gets a line of figures from every test
SOAK_STRENGTH = 2
PATIENCE = 90.0  # seconds; what is not there by then will not come


class Mortal(Protocol):
    def kill(self) -> None: ...


def chosen_seed() -> int:
    """That of KEYFOLD_SEED, else a fresh one, kept in the environment for whoever asks again."""
    os.environ.setdefault(SEED, str(secrets.randbelow(1_000_000)))
    return int(os.environ[SEED])


def strength() -> int:
    """By how much loads and numbers of kills are multiplied: 1 in the quick form."""
    return SOAK_STRENGTH if os.environ.get(SOAK) else 1


@dataclass
class Chaos:
    """The dice of one test, the same for the same seed; and what it did, for the figures.

    The seed fixes what is done, to whom and after how many acknowledgements. How the processes interleave is up to the machine,
    so the same seed finds the same thing often, not always.
    """

    seed: int
    name: str
    kills: int = 0
    acks: int = 0
    checked: int = 0
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(f"{self.seed}/{self.name}")

    @property
    def strength(self) -> int:
        return strength()

    def points(self, n: int, upto: int) -> list[int]:
        """`n` counts between 1 and `upto`, ascending: when to strike."""
        return sorted(self.dice.sample(range(1, upto + 1), n))

    def pick(self, victims: Sequence[T]) -> T:
        return self.dice.choice(victims)

    def kill(self, victim: Mortal) -> None:
        victim.kill()
        self.kills += 1

    def write_figures(self, *, violated: bool) -> None:
        book = os.environ.get(BOOK)
        if book is not None:
            figures = {
                "test": self.name,
                "seed": self.seed,
                "kills": self.kills,
                "acks": self.acks,
                "checked": self.checked,
                "violations": int(violated),
            }
            with open(book, "ab") as out:  # noqa: PTH123
                out.write(orjson.dumps(figures) + b"\n")
