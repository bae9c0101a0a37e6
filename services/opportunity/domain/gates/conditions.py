"""Conditions: whether they hold of the facts on record, what they lack, and whether they can be meant at all."""

from collections.abc import Iterator, Sequence
from typing import Final

from services.opportunity.domain.gates.facts import FACTS, Facts, Kind, Value
from shared.contracts.opportunity import Condition, Lacking
from shared.contracts.refusal import Reason
from shared.kit.money import Money

DEEPEST, LARGEST = 8, 60  # levels and comparisons of one condition
_ORDER = ("is", "is_not", "at_least", "at_most", "above", "below")
TESTS: Final[dict[Kind, tuple[str, ...]]] = {
    "yes_no": ("known", "unknown", "is", "is_not"),
    "number": ("known", "unknown", *_ORDER),
    "money": ("known", "unknown", *_ORDER),
    "code": ("known", "unknown", "is", "is_not", "among", "not_among"),
    "codes": ("known", "unknown", "has", "has_not"),
}
OPPOSITE: Final[dict[str, str]] = {
    "known": "unknown",
    "is": "is_not",
    "at_least": "below",
    "at_most": "above",
    "among": "not_among",
    "has": "has_not",
}
OPPOSITE.update({opposite: test for test, opposite in tuple(OPPOSITE.items())})
Truth = bool | None
"""None: it cannot be said, because a fact is not on record or in another currency."""


def holds(condition: Condition, facts: Facts) -> tuple[Truth, tuple[Lacking, ...]]:
    """Whether it holds, and what it lacks; never raises, whatever the condition and the facts are.

    What cannot be said does not hold; nor does its opposite.
    """
    return _holds(condition, facts, meant=True)


def _holds(condition: Condition, facts: Facts, *, meant: bool) -> tuple[Truth, tuple[Lacking, ...]]:
    """`meant` False: does the opposite hold?"""
    if condition.none_of is not None:
        return _several(condition.none_of, facts, every=meant, meant=not meant)
    if condition.all_of is not None:
        return _several(condition.all_of, facts, every=meant, meant=meant)
    if condition.any_of is not None:
        return _several(condition.any_of, facts, every=not meant, meant=meant)
    return _compared(condition, facts, meant=meant)


def _several(
    parts: Sequence[Condition], facts: Facts, *, every: bool, meant: bool
) -> tuple[Truth, tuple[Lacking, ...]]:
    found = [_holds(part, facts, meant=meant) for part in parts]
    truths = [truth for truth, _ in found]
    decisive = not every  # one False decides for all of them, one True for any of them
    truth = decisive if decisive in truths else None if None in truths else every
    lacking = dict.fromkeys(one for part, lacks in found if part is not True for one in lacks)
    return truth, () if truth is True else tuple(lacking)


def _compared(condition: Condition, facts: Facts, *, meant: bool) -> tuple[Truth, tuple[Lacking, ...]]:
    name = condition.fact or "nothing"
    said = condition.test or "known"
    test = said if meant else OPPOSITE[said]
    value = facts.get(name)
    truth = _test(value, test, condition.value)
    if truth is True:
        return True, ()
    comparable = value is not None and not _other_currency(value, condition.value)
    found = told(value) if comparable else None
    wanted = None if condition.value is None else told(condition.value)
    return truth, (Lacking(fact=name, test=test, wanted=wanted, found=found),)


def _test(value: Value | None, test: str, wanted: object) -> Truth:
    if test in ("known", "unknown"):
        return (value is not None) == (test == "known")
    if value is None:
        return None
    if test in ("has", "has_not"):
        return (wanted in value) == (test == "has") if isinstance(value, frozenset) else None
    if test in ("among", "not_among"):
        return (value in wanted) == (test == "among") if isinstance(wanted, tuple) else None
    return _ordered(value, test, wanted)


def _ordered(value: Value, test: str, wanted: object) -> Truth:
    if isinstance(value, Money) and isinstance(wanted, Money):
        return None if value.currency != wanted.currency else _ordered(value.minor, test, wanted.minor)
    if type(value) is not type(wanted):
        return None
    if test in ("is", "is_not"):
        return (value == wanted) == (test == "is")
    if not isinstance(value, int) or not isinstance(wanted, int):
        return None
    return {
        "at_least": value >= wanted,
        "at_most": value <= wanted,
        "above": value > wanted,
        "below": value < wanted,
    }.get(test)


def _other_currency(value: Value, wanted: object) -> bool:
    return isinstance(value, Money) and isinstance(wanted, Money) and value.currency != wanted.currency


def told(value: object) -> str:
    """A value in words."""
    match value:
        case bool():
            return "yes" if value else "no"
        case frozenset():
            return ", ".join(sorted(value)) or "none"
        case tuple():
            return ", ".join(str(one) for one in value)
    return str(value)


def faults(condition: Condition, field: str) -> Iterator[Reason]:
    """Everything that is wrong with a condition that somebody defines."""
    size = _size(condition, 1)
    if size is None or size > LARGEST:
        fault = f"a condition has at most {LARGEST} comparisons, {DEEPEST} levels deep"
        yield Reason("condition_too_large", fault, field, "several gates, or fewer comparisons")
        return
    yield from _faults(condition, field)


def _size(condition: Condition, depth: int) -> int | None:
    """How many comparisons; None: too deep."""
    if depth > DEEPEST:
        return None
    size = 1
    for part in (*(condition.all_of or ()), *(condition.any_of or ()), *(condition.none_of or ())):
        below = _size(part, depth + 1)
        if below is None:
            return None
        size += below
    return size


def _faults(condition: Condition, field: str) -> Iterator[Reason]:
    groups = {name: getattr(condition, name) for name in ("all_of", "any_of", "none_of")}
    given = [name for name, parts in groups.items() if parts is not None]
    compares = condition.fact is not None or condition.test is not None or condition.value is not None
    if len(given) + compares != 1:
        what = "nothing" if not given and not compares else "several things at once"
        yield Reason("bad_condition", f"the condition says {what}", field, "one of all_of, any_of, none_of, fact")
        return
    for name in given:
        if not groups[name]:
            yield Reason("bad_condition", f"{name} is empty", f"{field}.{name}", "one condition or more")
        for index, part in enumerate(groups[name]):
            yield from _faults(part, f"{field}.{name}.{index}")
    if compares:
        yield from _bad_comparison(condition, field)


def _bad_comparison(condition: Condition, field: str) -> Iterator[Reason]:
    fact = FACTS.get(condition.fact or "")
    if fact is None:
        yield Reason("unknown_fact", f"there is no fact {condition.fact!r}", f"{field}.fact", ", ".join(sorted(FACTS)))
        return
    tests = TESTS[fact.kind]
    if condition.test not in tests:
        fault = f"{condition.fact} ({fact.kind}) is not tested by {condition.test!r}"
        yield Reason("bad_test", fault, f"{field}.test", ", ".join(tests))
    elif not _fits(condition, fact.kind):
        fault = f"{condition.fact} {condition.test} cannot be compared with {condition.value!r}"
        yield Reason("bad_value", fault, f"{field}.value", expected_value(fact.kind, str(condition.test)))


def expected_value(kind: Kind, test: str) -> str:
    if test in ("known", "unknown"):
        return "no value"
    if test in ("among", "not_among"):
        return "a list of codes"
    return {
        "yes_no": "true or false",
        "number": "a whole number",
        "money": "an amount, such as {minor: 100, currency: CNY}",
        "code": "a code",
        "codes": "a code",
    }[kind]


def _fits(condition: Condition, kind: Kind) -> bool:
    value = condition.value
    if condition.test in ("known", "unknown"):
        return value is None
    if condition.test in ("among", "not_among"):
        return isinstance(value, tuple)
    return fits(kind, frozenset([value]) if kind == "codes" and isinstance(value, str) else value)


def fits(kind: Kind, value: object) -> bool:
    """Can a fact of this kind be this?"""
    match kind:
        case "yes_no":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int) and not isinstance(value, bool)
        case "money":
            return isinstance(value, Money)
        case "code":
            return isinstance(value, str)
    return isinstance(value, frozenset)
