"""Conditions: total, three-valued, checked when they are defined."""

from typing import Any

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from services.opportunity.domain.gates.conditions import DEEPEST, LARGEST, OPPOSITE, faults, holds
from services.opportunity.domain.gates.facts import FACTS, Facts
from shared.contracts.opportunity import Condition, Lacking
from shared.kit.money import Money

CNY, USD = Money(minor=100, currency="CNY"), Money(minor=100, currency="USD")


def that(fact: str, test: str, value: Any = None) -> Condition:
    return Condition.model_validate({"fact": fact, "test": test, "value": value})


@pytest.mark.parametrize(
    ("value", "test", "wanted", "truth"),
    [
        (5, "is", 5, True),
        (5, "is_not", 5, False),
        (5, "at_least", 5, True),
        (5, "above", 5, False),
        (5, "at_most", 5, True),
        (5, "below", 5, False),
        (True, "is", True, True),
        (CNY, "at_least", CNY, True),
        (CNY, "above", CNY, False),
        (CNY, "is", CNY, True),
        (CNY, "at_least", USD, None),
        (CNY, "is_not", USD, None),
        ("ahead", "is", "ahead", True),
        ("ahead", "among", ("ahead", "behind"), True),
        ("ahead", "not_among", ("ahead",), False),
        (frozenset({"a"}), "has", "a", True),
        (frozenset({"a"}), "has_not", "b", True),
        (frozenset[str](), "known", None, True),
        (0, "known", None, True),
        (None, "known", None, False),
        (None, "unknown", None, True),
        (None, "is", 5, None),
        (None, "is_not", 5, None),
        (5, "is", "5", None),
        (True, "at_least", 1, None),
        ("a", "has", "a", None),
    ],
)
def test_a_comparison(value: Any, test: str, wanted: Any, truth: bool | None) -> None:
    assert holds(that("x", test, wanted), {"x": value})[0] is truth


def test_what_is_not_known_does_not_hold_and_neither_does_its_opposite() -> None:
    unknown = that("lines", "above", 3)
    assert holds(unknown, {})[0] is None
    assert holds(Condition(none_of=(unknown,)), {})[0] is None


def test_one_known_part_may_decide() -> None:
    yes, unknown = that("lines", "is", 1), that("amount", "known")
    facts = {"lines": 1}
    assert holds(Condition(any_of=(that("days_to_close", "is", 1), yes)), facts) == (True, ())
    assert holds(Condition(all_of=(that("days_to_close", "is", 1), unknown)), facts)[0] is False


def test_what_is_lacking_says_how_it_is_and_how_it_should_be() -> None:
    both = Condition(all_of=(that("lines", "at_least", 3), that("amount", "above", CNY), that("owner", "known")))
    assert holds(both, {"lines": 1, "amount": USD, "owner": "o"}) == (
        False,
        (
            Lacking(fact="lines", test="at_least", wanted="3", found="1"),
            Lacking(fact="amount", test="above", wanted="1.00 CNY"),
        ),
    )


def test_what_must_not_be_is_told_as_what_should() -> None:
    _, lacking = holds(Condition(none_of=(that("synchrony", "is", "ahead"),)), {"synchrony": "ahead"})
    assert lacking == (Lacking(fact="synchrony", test="is_not", wanted="ahead", found="ahead"),)


_NAMES = st.sampled_from(sorted(FACTS))
_VALUES = st.one_of(
    st.booleans(), st.integers(-5, 5), st.sampled_from(["a", "b"]), st.sampled_from([CNY, USD]), st.just(("a", "b"))
)
_LEAVES = st.builds(Condition, fact=_NAMES, test=st.sampled_from(sorted(OPPOSITE)), value=st.none() | _VALUES)


def _nested(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(parts, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Condition, all_of=several),
        st.builds(Condition, any_of=several),
        st.builds(Condition, none_of=several),
    )


_CONDITIONS = st.recursive(_LEAVES, _nested, max_leaves=8)
_FACTS = st.dictionaries(
    _NAMES,
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["a", "b"]), st.sampled_from([CNY, USD]),
        st.frozensets(st.sampled_from(["a", "b"])),
    ),
)  # fmt: skip


@for_any(_CONDITIONS, _FACTS)
def test_it_never_raises_and_none_of_is_the_opposite(condition: Condition, facts: Facts) -> None:
    truth, lacking = holds(condition, facts)
    opposite = holds(Condition(none_of=(condition,)), facts)[0]
    assert opposite is (None if truth is None else not truth)
    assert not (truth is True and lacking)


def codes(condition: Condition) -> list[str]:
    return [fault.code for fault in faults(condition, "requires")]


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        (Condition(), "bad_condition"),
        (Condition(all_of=()), "bad_condition"),
        (Condition(all_of=(that("lines", "is", 1),), fact="lines"), "bad_condition"),
        (that("nonsense", "is", 1), "unknown_fact"),
        (that("lines", "has", "a"), "bad_test"),
        (Condition(fact="lines"), "bad_test"),
        (that("lines", "is", "a"), "bad_value"),
        (that("lines", "known", 1), "bad_value"),
        (that("amount", "above", 100), "bad_value"),
        (that("synchrony", "among", "ahead"), "bad_value"),
        (that("milestones", "has", 1), "bad_value"),
    ],
)
def test_what_cannot_be_meant_is_refused(condition: Condition, code: str) -> None:
    assert codes(condition) == [code]


def test_what_can_be_meant_is_not() -> None:
    assert codes(that("lines", "at_least", 1)) == []
    assert codes(Condition(none_of=(that("milestones", "has", "a"), that("amount", "below", CNY)))) == []


def test_faults_say_where() -> None:
    wrong = Condition(all_of=(that("lines", "is", 1), Condition(any_of=(that("nonsense", "is", 1),))))
    assert [fault.field for fault in faults(wrong, "requires")] == ["requires.all_of.1.any_of.0.fact"]


def test_neither_too_deep_nor_too_large() -> None:
    deep = that("lines", "is", 1)
    for _ in range(DEEPEST):
        deep = Condition(all_of=(deep,))
    assert codes(deep) == ["condition_too_large"]
    assert codes(Condition(all_of=(that("lines", "is", 1),) * LARGEST)) == ["condition_too_large"]
    assert codes(Condition(all_of=(that("lines", "is", 1),) * (LARGEST - 1))) == []
