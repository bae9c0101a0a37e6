"""How a forecast is told: by period, group and currency, each figure with the link to its rows."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import RowMapping

from services.opportunity import forecast_labels
from services.opportunity.api.asking import Asking
from services.opportunity.api.converting import Converter
from services.opportunity.api.forecast_beside import gap, in_one, sum_in_one
from services.opportunity.api.forecast_figures import (
    Category,
    ForecastFigure,
    ForecastJudged,
    ForecastPeriodTold,
    ForecastSum,
    ForecastWorth,
    SlotFigure,
    Unpriced,
)
from services.opportunity.api.forecast_targets import Targets
from services.opportunity.api.groups import Labeller, narrowed_to
from services.opportunity.api.rows import coded
from services.opportunity.domain.forecast.category import COUNTED
from services.opportunity.domain.forecast.submission import CATEGORIES
from services.opportunity.queries.forecast import Expectation
from services.opportunity.queries.funnel import GroupBy
from shared.kit.calendar import Period

OPEN_OR_PAUSED = ["open", "paused"]
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Of a slot and a group."""

    figures: list[RowMapping] = field(default_factory=list)
    judged: list[RowMapping] = field(default_factory=list)


@dataclass(frozen=True)
class Teller:
    """Tells what was found, period by period."""

    ask: Any
    asking: Asking
    periods: Sequence[Period]
    by: Sequence[GroupBy]
    found: Expectation
    targets: Targets
    beside: Converter | None
    names: Labeller

    def figures(self) -> list[ForecastFigure]:
        """By period, in order of the groups; none without groups."""
        if not self.by:
            return []
        return [
            ForecastFigure(period=self._period(one), groups=self._told(at), **self._sum(one.label, at, one))
            for one in self.periods
            for at in dict.fromkeys([*self._groups[one.label], *self.targets.groups(one)])
        ]

    def totals(self) -> list[ForecastSum]:
        """Of each period."""
        return [ForecastSum(period=self._period(one), **self._sum(one.label, None, one)) for one in self.periods]

    def apart(self, slot: str) -> list[SlotFigure]:
        """Open, and no period's: by group; one figure without groups."""
        keys = [*self._groups[slot]] if self.by else [None]
        figures = (SlotFigure(groups=self._told(at) if at else {}, **self._sum(slot, at, None)) for at in keys)
        return [one for one in figures if one.count]

    @cached_property
    def _groups(self) -> Mapping[str, Mapping[Key, None]]:
        """By slot, in order: sorted out once, for there may be thousands."""
        found: dict[str, dict[Key, None]] = defaultdict(dict)
        for row in (*self.found.figures, *self.found.judged):
            found[row["slot"]][self._key(row)] = None
        return found

    @cached_property
    def _rows(self) -> Mapping[tuple[str, Key | None], Rows]:
        """By slot and group; None: all groups together."""
        found: dict[tuple[str, Key | None], Rows] = defaultdict(Rows)
        for row in self.found.figures:
            for at in (self._key(row), None):
                found[row["slot"], at].figures.append(row)
        for row in self.found.judged:
            for at in (self._key(row), None):
                found[row["slot"], at].judged.append(row)
        return found

    def _key(self, row: RowMapping) -> Key:
        return tuple(row[name] for name in self.by)

    def _told(self, at: Key) -> dict[GroupBy, Any]:
        values = dict(zip(self.by, at, strict=True))
        return {name: self.names.group(name, value, values.get("process")) for name, value in values.items()}

    def _period(self, period: Period) -> ForecastPeriodTold:
        return ForecastPeriodTold(
            label=period.label, kind=period.kind, first_day=period.first_day, last_day=period.last_day
        )

    def _sum(self, slot: str, at: Key | None, period: Period | None) -> dict[str, Any]:
        """The fields of a figure. `at` None: all groups together."""
        mine = self._rows.get((slot, at), Rows())
        rows, judged = mine.figures, mine.judged
        chosen = narrowed_to(dict(zip(self.by, at or (), strict=False)))
        targets = {} if period is None else self.targets.of(at, period)
        currencies = sorted({row["currency"] for row in (*rows, *judged) if row["currency"]} | targets.keys())
        worth = [self._worth(one, rows, judged, targets.get(one), chosen, slot, period) for one in currencies]
        open_ = {**chosen, **_where(slot, period)}
        nothing = sum(row["count"] for row in rows if row["currency"] is None and row["category"] in COUNTED)
        return {
            "count": sum(row["count"] for row in rows if row["category"] in COUNTED),
            "worth": worth,
            "without_amount": Unpriced(
                count=nothing,
                drill=self._link(open_, currency="none", forecast=self._counted) if nothing else None,
            ),
            "converted": sum_in_one(self.beside, worth),
            "drill": self._link(open_, forecast=self._counted),
        }

    def _worth(
        self,
        currency: str,
        rows: Sequence[RowMapping],
        judged: Sequence[RowMapping],
        target: RowMapping | None,
        chosen: Mapping[str, Any],
        slot: str,
        period: Period | None,
    ) -> ForecastWorth:
        mine = [row for row in rows if row["currency"] == currency]
        of = {**chosen, "currency": currency}
        categories = list(self._categories(mine, of, slot, period))
        counted = [one for one in categories if one.code in COUNTED]
        money: dict[str, Any] = {
            name: sum(getattr(one, name) for one in counted)
            for name in ("minor", "low_minor", "high_minor", "weighted_minor")
        }
        money["closed_minor"] = sum(one.minor for one in categories if one.code == "closed")
        money |= gap(None if target is None else target["minor"], money)
        told = ForecastWorth(
            currency=currency,
            count=sum(one.count for one in counted),
            categories=categories,
            target=None if target is None else self.targets.told(target),
            judged=self._judged([row for row in judged if row["currency"] == currency], chosen, currency, period),
            drill=self._link({**of, **_where(slot, period)}, forecast=self._counted),
            converted=None,
            **money,
        )
        return told.model_copy(update={"converted": in_one(self.beside, told)})

    def _categories(
        self, rows: Sequence[RowMapping], of: Mapping[str, Any], slot: str, period: Period | None
    ) -> Iterator[Category]:
        for code in CATEGORIES:
            of_code = [row for row in rows if row["category"] == code]
            if not of_code:
                continue
            where = _won(period) if code == "closed" and period else _where(slot, period)
            names = ("count", "low_minor", "high_minor", "weighted_minor")
            yield Category(
                **coded(forecast_labels.CATEGORIES, code, self.asking.language).model_dump(),
                minor=sum(row["amount_minor"] for row in of_code),
                **{name: sum(row[name] for row in of_code) for name in names},
                drill=self._link({**of, **where}, forecast=code),
            )

    def _judged(
        self, rows: Sequence[RowMapping], chosen: Mapping[str, Any], currency: str, period: Period | None
    ) -> ForecastJudged | None:
        if period is None or not rows:
            return None
        where = {"judged_closing": period.label, "judged_currency": currency, "forecast": self._counted}
        return ForecastJudged(
            count=sum(row["count"] for row in rows),
            minor=sum(row["amount_minor"] for row in rows),
            drill=self._link({**chosen, "outcome": OPEN_OR_PAUSED}, **where),
        )

    @property
    def _counted(self) -> list[str]:
        """Where none of what counts is asked for, what nothing open is: a list without a row, not the list of all."""
        return [one for one in COUNTED if not self.ask.forecast or one in self.ask.forecast] or ["closed"]

    def _link(self, chosen: Mapping[str, Any], **more: Any) -> str:
        return self.asking.list_link(self.ask, **{**chosen, **more})


def _where(slot: str, period: Period | None) -> dict[str, Any]:
    """The filters of the list that show what is open in a slot."""
    if period is None:
        return {"outcome": OPEN_OR_PAUSED, "due": slot}
    return {"outcome": OPEN_OR_PAUSED, "due": "ahead", "closing": period.label}


def _won(period: Period) -> dict[str, Any]:
    return {"outcome": "won", "closed_from": period.start, "closed_before": period.end}
