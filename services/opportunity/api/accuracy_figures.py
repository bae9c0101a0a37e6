"""The figures of a forecast's accuracy, as they are answered."""

from typing import Literal

from pydantic import BaseModel, Field

from services.opportunity.api.names import Named
from services.opportunity.api.rows import Coded

AccuracyBy = Literal["person", "stage", "horizon"]


class Compared(BaseModel):
    """Submitted against won. `ratio_bp`: won per submitted, in basis points; null: nothing was submitted. `error`: submitted − won,
    positive: too much was promised. `absolute_error`: each submission by itself, so that they do not cancel out."""

    submissions: int
    submitted_minor: int
    won_minor: int
    ratio_bp: int | None
    error_minor: int
    absolute_error_minor: int
    drill: str


class AccuracyFigure(BaseModel):
    """Of a currency. What was expected of the period in all: won by then, and to come. `weighted` by the probabilities, `commit` as
    committed to, `judged` by managers (null: nobody judged)."""

    holder_kind: Coded | None = Field(description="Null but by person.")
    holder: Named | None = Field(description="Null but by person.")
    days_from: int | None = Field(description="From the submission to the period's last day; null but by horizon.")
    days_to: int | None = Field(description="Null: no end; and null but by horizon.")
    currency: str
    weighted: Compared
    commit: Compared
    judged: Compared | None
    drill: str


class StageMoney(BaseModel):
    """Of the lines in a currency: submitted at the middle of their probability range, and won in it."""

    currency: str
    lines: int
    weighted_minor: int
    won_minor: int
    error_minor: int
    drill: str


class StageFigure(BaseModel):
    """Of the lines that were open in a stage when they were submitted: the share that was expected to be won by the probabilities
    of the process, and the share that was, in basis points."""

    process: str
    stage: int
    label: str
    lines: int
    won: int
    expected_bp: int
    won_bp: int
    drill: str = Field(description="These lines.")
    worth: list[StageMoney]


class Accuracy(BaseModel):
    """`stages` by stage, else `figures`; `submissions` is how many there are."""

    group_by: AccuracyBy
    submissions: int
    figures: list[AccuracyFigure]
    stages: list[StageFigure]
