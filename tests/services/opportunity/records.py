"""Facts as the log delivers them: of many streams, with a time in business and a time of knowledge each."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from services.opportunity.domain.opportunity.decide import decide
from services.opportunity.domain.opportunity.state import INITIAL, evolve
from services.opportunity.domain.process import SalesProcess
from shared.contracts.event import Event, Recorded
from shared.contracts.refusal import RefusedError
from shared.testing.given import START
from tests.services.opportunity.deals import SHORT, circumstances

NAMES = UUID("6f3d4c1a-6a52-4b0e-9c55-0d4f6c0f7a12")


def entity(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


class Ledger:
    """Writes facts down one after the other: positions dense, versions by stream, knowledge never going back."""

    def __init__(self) -> None:
        self.records: list[Recorded[Any]] = []
        self._versions: dict[str, int] = {}

    def write(self, stream_id: str, event: Event, occurred_at: datetime, recorded_at: datetime | None = None) -> None:
        version = self._versions.get(stream_id, 0) + 1
        self._versions[stream_id] = version
        position = len(self.records) + 1
        known = recorded_at or occurred_at
        if self.records:
            known = max(known, self.records[-1].recorded_at)
        event_id = uuid5(NAMES, f"{stream_id}/{version}")
        record = Recorded(position, event_id, stream_id, version, event, occurred_at, known, "tester", event_id, None)
        self.records.append(record)

    def opportunity(self, number: int, *facts: tuple[Event, datetime, datetime] | tuple[Event, datetime]) -> None:
        for event, occurred_at, *recorded in facts:
            self.write(f"opportunity-{entity(number)}", event, occurred_at, *recorded)

    def of(self, number: int) -> list[Recorded[Any]]:
        return [one for one in self.records if one.stream_id == f"opportunity-{entity(number)}"]

    def decide(
        self, number: int, commands: Sequence[Any], moments: Sequence[datetime], process: SalesProcess = SHORT
    ) -> None:
        """Decide commands on the opportunity, each at its moment; what is refused leaves no facts."""
        state = INITIAL
        for one in self.of(number):
            state = evolve(state, one)
        for command, moment in zip(commands, moments, strict=True):
            try:
                decided = decide(state, command, circumstances(moment, process))
            except RefusedError:
                continue
            for event in decided:
                self.opportunity(number, (event, moment))
                state = evolve(state, self.records[-1])


def moments(chance: random.Random, count: int, days: int) -> list[datetime]:
    """`count` moments within so many days, in order, some of them twice."""
    return sorted(START + timedelta(hours=chance.randrange(days * 24 // 6) * 6) for _ in range(count))
