"""The stories in `stories.yaml`: what became of each opportunity, beat by beat."""

from functools import cache
from typing import Literal

import yaml
from pydantic import Field, TypeAdapter, model_validator

from services.demo.company import FOLDER, Currency, Part


class Beat(Part):
    because: str = ""


class Done(Beat):
    """The stages up to this one are completed, step by step."""

    done: int = Field(ge=1, le=8)


class Estimate(Beat):
    """A lead gets its first amount and close date."""

    estimate: Literal[True]


class OtherAccount(Beat):
    """Whose it turned out to be."""

    account: str


class Enter(Beat):
    """All milestones of the stage; the customer has not committed yet."""

    enter: int = Field(ge=1, le=8)


class Skip(Beat):
    skip: int


class Back(Beat):
    """Only the stages up to this one stay completed."""

    back: int


class Buying(Beat):
    """Where the customer really stands."""

    buying: int = Field(ge=1, le=8)


class Retract(Beat):
    """A milestone did not hold."""

    retract: str


class TakeBack(Beat):
    """The commitment that completed the last stage is taken back."""

    take_back: str


class Decide(Beat):
    decide: Literal["catch_up", "give_up"]


class Raise(Beat):
    """Per cent of the amount."""

    raise_: int = Field(alias="raise")


class Reduce(Beat):
    reduce: int


class Quote(Beat):
    """Other product lines, at list price less the story's discount."""

    quote: dict[str, int]


class Paid(Beat):
    """The currency in which it is to be paid from now on; its lines are priced again."""

    currency: Currency


class PushOut(Beat):
    """Days."""

    push_out: int


class PullIn(Beat):
    pull_in: int


class HandOver(Beat):
    """`at`: days before today, when the new owner took over."""

    hand_over: str
    at: int


class Rename(Beat):
    rename: str


class Pause(Beat):
    pause: str


class Resume(Beat):
    resume: Literal[True]


class Comment(Beat):
    comment: str


class Won(Beat):
    won: str


class Lost(Beat):
    """`price`: the competitor's, in whole yuan or dollars."""

    lost: str
    to: str | None = None
    price: int | None = None


class Abandoned(Beat):
    abandoned: str


class Reopened(Beat):
    reopened: str


AnyBeat = (
    Done | Estimate | OtherAccount | Enter | Skip | Back | Buying | Retract | TakeBack | Decide | Raise | Reduce
    | Quote | Paid | PushOut | PullIn | HandOver | Rename | Pause | Resume | Comment | Won | Lost | Abandoned | Reopened
)  # fmt: skip


class Story(Part):
    """`began`, `last`: days before today of the first and the latest event. `close`: days from the first to the day on which we
    expected to close. `lines`: product → quantity; `discount`: per cent off the list price. `lead`: at first neither amount nor
    date is known."""

    key: str
    account: str
    owner: str
    name: str
    began: int
    last: int = Field(ge=1)
    close: int
    lines: dict[str, int] = Field(min_length=1)
    discount: int = 8
    lead: bool = False
    beats: tuple[AnyBeat, ...] = ()

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> "Story":
        if self.began <= self.last:
            raise ValueError(f"{self.key} begins {self.began} days ago, its latest event was {self.last} days ago")
        return self


@cache
def stories() -> tuple[Story, ...]:
    """All of them; no two have the same key."""
    read = yaml.safe_load((FOLDER / "stories.yaml").read_text(encoding="utf-8"))
    found = TypeAdapter(tuple[Story, ...]).validate_python(read)
    if len({story.key for story in found}) < len(found):
        raise ValueError("two stories have the same key")
    return found
