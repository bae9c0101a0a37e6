"""Who belonged where, and who led, from when to when: periods of business time, whatever order the facts came in."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from shared.contracts.account import ManagerAppointed, ManagerRelieved, TeamMemberJoined, TeamMemberLeft
from shared.contracts.event import Recorded

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)  # the open end of a period: comparable, unlike None

Role = Literal["manager", "member"]


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """A fact about a team's people. Facts of one moment count in the order in which they were recorded."""

    at: datetime
    order: int
    role: Role
    person_id: str
    begins: bool


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """From `since` up to and without `until`."""

    role: Role
    person_id: str
    since: datetime
    until: datetime

    def covers(self, at: datetime) -> bool:
        return self.since <= at < self.until


def change_of(recorded: Recorded[Any]) -> Change | None:
    """What an event says about a team's people; None: nothing."""
    at, order = recorded.occurred_at, recorded.version
    match recorded.event:
        case TeamMemberJoined(person_id=person_id):
            return Change(at, order, "member", person_id, True)
        case TeamMemberLeft(person_id=person_id):
            return Change(at, order, "member", person_id, False)
        case ManagerAppointed(person_id=person_id):
            return Change(at, order, "manager", person_id, True)
        case ManagerRelieved(person_id=person_id):
            return Change(at, order, "manager", person_id, False)
        case _:
            return None


def periods(changes: Iterable[Change]) -> list[Period]:
    """Sorted. Joining twice is joining at the earlier moment; appointing a manager ends the former one's period."""
    running: dict[tuple[Role, str], datetime] = {}
    result: list[Period] = []

    def end(role: Role, person_id: str, at: datetime) -> None:
        since = running.pop((role, person_id), at)
        if since < at:
            result.append(Period(role, person_id, since, at))

    for change in sorted(changes):
        if change.begins and change.role == "manager":
            for role, person_id in list(running):
                if role == "manager" and person_id != change.person_id:
                    end(role, person_id, change.at)
        if change.begins:
            running.setdefault((change.role, change.person_id), change.at)
        else:
            end(change.role, change.person_id, change.at)
    for role, person_id in list(running):
        end(role, person_id, FOREVER)
    return sorted(result)
