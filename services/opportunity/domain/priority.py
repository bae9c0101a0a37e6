"""The priority of an opportunity on a day (R4), from its close date and its probability: so it is computed, never recorded."""

from collections.abc import Sequence
from datetime import date

from shared.contracts.opportunity import Priority, PriorityRule


def priority(
    rules: Sequence[PriorityRule], probability: tuple[int, int], close_date: date | None, today: date
) -> Priority:
    """Of an opportunity that has not ended; `probability` as a range in per cent. A day of closing that is over is near."""
    days = None if close_date is None else (close_date - today).days
    for rule in rules[:-1]:
        near = rule.closes_within_days is None or (days is not None and days <= rule.closes_within_days)
        if near and sum(probability) >= 2 * rule.probability_from:
            return rule.priority
    return rules[-1].priority
