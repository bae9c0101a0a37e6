"""Conditions over facts on record: a small tree that is data, never code (R5)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from shared.contracts.opportunity.contract import Code, NoZero
from shared.kit.money import Money

Test = Literal[
    "known", "unknown", "is", "is_not", "at_least", "at_most", "above", "below", "among", "not_among", "has", "has_not"
]
Word = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S"), NoZero]
Wanted = (
    StrictBool
    | Annotated[StrictInt, Field(ge=-(10**15), le=10**15)]
    | Word
    | Money
    | Annotated[tuple[Word, ...], Field(min_length=1, max_length=100)]
)
"""What a fact is compared with, and what a proof says a fact is: yes or no, a number, a code, money, several codes."""


class Condition(BaseModel):
    """One of four: all of some conditions hold, any of them, none of them; or a `fact` stands a `test` against a `value`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"fact": "payment_days_saved", "test": "above", "value": 0}]},
    )

    all_of: tuple["Condition", ...] | None = None
    any_of: tuple["Condition", ...] | None = None
    none_of: tuple["Condition", ...] | None = None
    fact: Code | None = None
    test: Test | None = None
    value: Wanted | None = None


class Lacking(BaseModel):
    """A comparison that did not hold, in words: `found` is null when the fact was not on record (or in another currency)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fact: str
    test: str
    wanted: str | None = None
    found: str | None = None
