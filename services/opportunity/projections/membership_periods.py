"""From the changes of one team to who belonged to it when. Pure."""

from collections.abc import Sequence

from services.opportunity.projections.spans import FOREVER
from shared.projections.definition import Row


def periods(changes: Sequence[Row]) -> list[Row]:
    """Rows of `membership` from rows of `team_change` in the order of business time."""
    open_: dict[tuple[str, str], Row] = {}
    periods: list[Row] = []
    for change in changes:
        key = (change["role"], change["person_id"])
        if change["begins"] and key in open_:  # said twice: the earlier word stands
            continue
        ends = [key]
        if change["role"] == "manager" and change["begins"]:  # a team has one manager: the next one relieves the former
            ends = [other for other in open_ if other[0] == "manager"]
        closed = [open_.pop(ended) for ended in ends if ended in open_]
        periods += [period | {"valid_to": change["occurred_at"]} for period in closed]
        if change["begins"]:
            row = {name: change[name] for name in ("team_id", "role", "person_id")}
            open_[key] = row | {"valid_from": change["occurred_at"], "valid_to": FOREVER}
    return [period for period in [*periods, *open_.values()] if period["valid_from"] < period["valid_to"]]
