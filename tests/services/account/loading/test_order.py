"""Parents come first, whatever the order of the rows; only those whose parents lead round in a circle are left out."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.account.loading.order import in_order


def waves(keys: Sequence[str | None], parents: Sequence[str | None]) -> list[list[int]]:
    return [list(wave) for wave in in_order(keys, parents).waves]


def test_parents_come_first() -> None:
    assert waves(["shop", "branch", "group"], ["branch", "group", None]) == [[2], [1], [0]]


def test_who_names_nobody_of_the_file_is_in_the_first_wave() -> None:
    assert waves(["a", None, "b"], ["elsewhere", None, None]) == [[0, 1, 2]]


def test_rows_of_one_key_stay_together_behind_all_their_parents() -> None:
    assert waves(["a", "b", "a"], [None, None, "b"]) == [[1], [0, 2]]


def test_a_circle_is_left_out_and_what_hangs_below_it_is_not() -> None:
    order = in_order(["top", "a", "b", "below", "self"], [None, "b", "a", "b", "self"])
    assert order.circle == frozenset((1, 2, 4))
    assert [list(wave) for wave in order.waves] == [[0, 3]]


def test_nothing_is_in_order() -> None:
    assert waves([], []) == []


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30), st.randoms())
def test_every_row_has_its_wave_after_its_parent(parents: list[int], chance: object) -> None:
    """Row n names one of the rows before it, if any; then all are shuffled."""
    named = [(str(place), str(up % place) if place and up % 3 else None) for place, up in enumerate(parents)]
    chance.shuffle(named)  # type: ignore[attr-defined]
    order = in_order([key for key, _ in named], [parent for _, parent in named])
    wave_of = {named[place][0]: number for number, wave in enumerate(order.waves) for place in wave}
    assert wave_of.keys() == {key for key, _ in named}
    assert all(wave_of[parent] < wave_of[key] for key, parent in named if parent is not None)
