"""How the pipeline is told: figures by group, each with its money by currency, its promise and its links."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import RowMapping

from services.opportunity import labels
from services.opportunity.api.asking import Asking
from services.opportunity.api.converting import Converter, RateUsed
from services.opportunity.api.funnel import FunnelQuery
from services.opportunity.api.groups import Group
from services.opportunity.api.rows import Coded, coded
from services.opportunity.queries.funnel import GroupBy
from services.opportunity.queries.pipeline import SYNCHRONIES, Standing
from services.opportunity.queries.view import Belonging

MONEY = ("amount_minor", "low_minor", "high_minor", "weighted_minor")


class Converted(BaseModel):
    """The same money in another currency; `rate` is null where it was in that currency already."""

    currency: str
    minor: int
    low_minor: int
    high_minor: int
    weighted_minor: int
    rate: RateUsed | None = None


class PipelineWorth(BaseModel):
    """What `count` opportunities are worth in a currency: in all, and times the bounds and the middle of the probability range,
    rounded per opportunity."""

    currency: str
    count: int
    minor: int
    low_minor: int
    high_minor: int
    weighted_minor: int
    converted: Converted | None
    drill: str


class Wins(BaseModel):
    """Between how many wins are to be expected: the sum of the probabilities."""

    low: float
    high: float


class DaysInStage(BaseModel):
    """Null where nothing stands."""

    median: float | None
    longest: float | None


class InStep(Coded):
    """How many stand so against their customer."""

    count: int
    drill: str


class PipelineSum(BaseModel):
    """`count`: also those without an amount. `converted`: the sum of what each currency is converted to. `drill`: exactly these."""

    count: int
    expected_wins: Wins
    days_in_stage: DaysInStage
    synchrony: list[InStep]
    worth: list[PipelineWorth]
    converted: Converted | None
    drill: str


class PipelineFigure(PipelineSum):
    """`groups`: by name of the group."""

    groups: dict[GroupBy, Group]


class PipelineAnswer(BaseModel):
    """Figures in order of their groups. `rates`: those that were used, of the day `rate_on` or the last before it."""

    group_by: list[GroupBy]
    belonging: Belonging
    as_of: datetime | None
    known_at: datetime | None
    figures: list[PipelineFigure]
    totals: PipelineSum
    rate_on: date | None
    rates: list[RateUsed]


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells figures with their links, and converted beside."""

    ask: FunnelQuery
    asking: Asking
    beside: Converter | None

    def figures(self, standing: Standing, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of PipelineSum."""
        row, link = standing.all, self.asking.list_link
        worth = [self._worth(one, chosen) for one in standing.worth if one["currency"] is not None]
        return {
            "count": row["count"],
            "expected_wins": Wins(low=row["low"] / 100, high=row["high"] / 100),
            "days_in_stage": DaysInStage(median=row["days_median"], longest=row["days_longest"]),
            "synchrony": list(self._in_step(row, chosen)),
            "worth": worth,
            "converted": self._total(worth),
            "drill": link(self.ask, **chosen),
        }

    def _worth(self, row: RowMapping, chosen: Mapping[str, Any]) -> PipelineWorth:
        currency, beside = row["currency"], self.beside
        money = {name.removeprefix("amount_"): row[name] for name in MONEY}
        converted = None
        if beside is not None:
            told = {name: beside.convert(minor, currency) for name, minor in money.items()}
            converted = Converted(currency=beside.currency, rate=beside.rate(currency), **told)
        drill = self.asking.list_link(self.ask, **{**chosen, "currency": currency})
        return PipelineWorth(currency=currency, count=row["count"], converted=converted, drill=drill, **money)

    def _total(self, worth: Sequence[PipelineWorth]) -> Converted | None:
        if self.beside is None:
            return None
        parts = [one.converted for one in worth if one.converted is not None]
        names = (name.removeprefix("amount_") for name in MONEY)
        sums = {name: sum(getattr(part, name) for part in parts) for name in names}
        return Converted(currency=self.beside.currency, **sums)

    def _in_step(self, row: RowMapping, chosen: Mapping[str, Any]) -> Iterator[InStep]:
        for code in SYNCHRONIES:
            if row[code]:
                drill = self.asking.list_link(self.ask, **{**chosen, "synchrony": code})
                label = coded(labels.SYNCHRONY, code, self.asking.language)
                yield InStep(code=code, label=label.label, count=row[code], drill=drill)
