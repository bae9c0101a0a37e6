"""The figures of a forecast in one currency, and what is missing to the target."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.opportunity.api.converting import Converter
from services.opportunity.api.forecast_figures import ForecastWorth, InOne

_MONEY = ("minor", "low_minor", "high_minor", "weighted_minor", "closed_minor")


def in_one(beside: Converter | None, worth: ForecastWorth) -> InOne | None:
    if beside is None:
        return None
    money: dict[str, Any] = {name: beside.convert(getattr(worth, name), worth.currency) for name in _MONEY}
    target = None if worth.target is None else beside.convert(worth.target.minor, worth.currency)
    judged = None if worth.judged is None else beside.convert(worth.judged.minor, worth.currency)
    money |= {"target_minor": target, "judged_minor": judged} | gap(target, money)
    return InOne(currency=beside.currency, rate=beside.rate(worth.currency), **money)


def sum_in_one(beside: Converter | None, worth: Sequence[ForecastWorth]) -> InOne | None:
    """The sum of what each currency is converted to; a gap where there is a target in any."""
    if beside is None:
        return None
    parts = [one.converted for one in worth if one.converted is not None]
    money: dict[str, Any] = {name: sum(getattr(part, name) for part in parts) for name in _MONEY}
    for name in ("target_minor", "judged_minor"):
        said = [getattr(part, name) for part in parts if getattr(part, name) is not None]
        money[name] = sum(said) if said else None
    money |= gap(money["target_minor"], money)
    return InOne(currency=beside.currency, rate=None, **money)


def gap(target: int | None, money: Mapping[str, int]) -> dict[str, int | None]:
    """What is missing to the target; negative: more is expected."""
    parts = {"gap_minor": "weighted_minor", "gap_low_minor": "low_minor", "gap_high_minor": "high_minor"}
    if target is None:
        return dict.fromkeys(parts)
    return {name: target - money["closed_minor"] - money[part] for name, part in parts.items()}
