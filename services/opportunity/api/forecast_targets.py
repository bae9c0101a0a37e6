"""Which target stands against which figure of a forecast."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import RowMapping

from services.opportunity.api.asking import Asking, Clocks, Selection
from services.opportunity.api.forecast_figures import Target
from services.opportunity.queries.funnel import GroupBy
from shared.kit.calendar import Period

Key = tuple[Any, ...]
_WHOSE = {"owner", "team", "belonging", "currency", "as_of", "known_at"}
_NARROWING = set(Selection.model_fields) - _WHOSE


@dataclass(frozen=True)
class Targets:
    """`said`: the targets that count, of everybody who may be seen; `above`: teams whose target is not theirs alone."""

    ask: Any
    asking: Asking
    by: Sequence[GroupBy]
    said: Sequence[RowMapping]
    above: frozenset[str]

    def groups(self, period: Period) -> list[Key]:
        """Those that have one, whether or not anything stands under them."""
        held = {"owner": "person", "team": "team"}.get(self.by[0]) if len(self.by) == 1 else None
        if held is None or not self._whole or self.ask.owner or self.ask.team:
            return []
        keys = dict.fromkeys((holder,) for kind, holder in self._by_holder[period.label] if kind == held)
        return [key for key in keys if self.of(key, period)]

    def told(self, row: RowMapping) -> Target:
        asked = {"holder_kind": row["holder_kind"], "period": row["period"], "currency": row["currency"]}
        if row["holder_id"] is not None:
            asked["holder"] = row["holder_id"]
        return Target(
            minor=row["minor"],
            effective_from=row["effective_from"],
            drill=self.asking.list_link(_clocks(self.ask), to="/targets", history=True, **asked),
        )

    def of(self, at: Key | None, period: Period) -> dict[str, RowMapping]:
        """By currency. Nothing where more than whose it is narrows what counts."""
        holder = self._holder(at) if self._whole else None
        if holder is None:
            return {}
        return {row["currency"]: row for row in self._by_holder[period.label].get(holder, ())}

    @cached_property
    def _by_holder(self) -> Mapping[str, Mapping[tuple[str, str | None], Sequence[RowMapping]]]:
        """By period."""
        found: dict[str, dict[tuple[str, str | None], list[RowMapping]]] = defaultdict(dict)
        for row in self.said:
            found[row["period"]].setdefault((row["holder_kind"], row["holder_id"]), []).append(row)
        return found

    @cached_property
    def _whole(self) -> bool:
        said = self.ask.model_dump(include=_NARROWING)
        return not any(value not in (None, "", []) for value in said.values())

    def _holder(self, at: Key | None) -> tuple[str, str | None] | None:
        owners, teams = self.ask.owner, self.ask.team
        if at is not None:
            if len(self.by) != 1 or at[0] is None:
                return None
            if self.by[0] == "owner" and not teams:
                return "person", at[0]
            return ("team", at[0]) if self.by[0] == "team" and not owners and at[0] not in self.above else None
        if self.ask.within is not None:
            return None if owners else ("team", self.ask.within)
        if owners or teams:
            one = [*owners, *teams]
            if len(one) != 1 or one[0] == "none" or one[0] in self.above:
                return None
            return ("person" if owners else "team"), one[0]
        return ("company", None) if self.asking.scope.everything else None


def _clocks(ask: Selection) -> Clocks:
    return Clocks(as_of=ask.as_of, known_at=ask.known_at)
