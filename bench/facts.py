"""The facts that are measured with: requests to append, rows to COPY, and a history of many opportunities."""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson

from shared.contracts.event import Event, encode
from shared.contracts.opportunity import (
    AmountRaised,
    BuyingStageObserved,
    CloseDateSet,
    CommitmentGiven,
    Evidence,
    MilestoneReached,
    OpportunityLost,
    OpportunityOpened,
    OpportunityWon,
    StageCompleted,
    StageEntered,
)
from shared.eventstore.types import AppendRequest, CommandRecord, Pending
from shared.kit.ids import new_id
from shared.kit.money import Money

LENGTH = 20  # events of a stream: about what an opportunity has in its life
ACTOR = "bench"
HISTORY = 10  # events of an opportunity of `histories`
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)


def amount_raised(minor: int) -> AmountRaised:
    return AmountRaised(amount=Money(minor=minor + 1_000, currency="CNY"), former=Money(minor=minor, currency="CNY"))


def stream() -> str:
    return f"opportunity-{new_id()}"


def request(stream_id: str, version: int, event: Event, at: datetime) -> AppendRequest:
    """What a command that appends one event sends to the store: event and record of the command, under new ids."""
    answer = {"opportunity_id": stream_id.split("-", 1)[1]}
    return AppendRequest(
        (Pending(stream_id, event, at, new_id()),),
        {stream_id: version},
        ACTOR,
        new_id(),
        command=CommandRecord(str(new_id()), b"", answer, {stream_id: version + 1}),
    )


def requests(count: int) -> list[AppendRequest]:
    """So many of them, one after the other, to streams of twenty events."""
    made: list[AppendRequest] = []
    now, stream_id = datetime.now(UTC), stream()
    for number in range(count):
        version = number % LENGTH
        if version == 0:
            stream_id = stream()
        made.append(request(stream_id, version, amount_raised(number), now))
    return made


Rows = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]


def copy_rows(first: int, count: int) -> Rows:
    """The rows of events and of commands that `count` such requests leave behind, from a position on, ready for COPY."""
    events: list[tuple[Any, ...]] = []
    commands: list[tuple[Any, ...]] = []
    now = datetime.now(UTC)
    stream_id, version = stream(), 0
    for position in range(first, first + count):
        if version == LENGTH:
            stream_id, version = stream(), 0
        version += 1
        event = amount_raised(position)
        events.append((
            position, stream_id, version, new_id(), event.type_name, event.type_version, encode(event).decode(), now, now,
            ACTOR, new_id(), None, None,
        ))  # fmt: skip
        answer = orjson.dumps({"opportunity_id": stream_id.split("-", 1)[1]}).decode()
        versions = orjson.dumps({stream_id: version}).decode()
        commands.append((str(new_id()), b"", answer, versions, position, position, now))
    return events, commands


def histories(opportunities: int, first: int = 0) -> Iterator[tuple[str, list[tuple[Event, datetime]]]]:
    """Opportunities with ten events each over two years, always the same ones: (id, events with their business times).

    A third of them has ended; owners are two hundred people, so that every one has his share.
    """
    for number in range(first, first + opportunities):
        dice = random.Random(number)
        yield str(uuid.UUID(int=dice.getrandbits(128), version=4)), _history(dice)


def owner(number: int) -> str:
    return str(uuid.UUID(int=0x5E11E7 << 64 | number, version=4))


def _history(dice: random.Random) -> list[tuple[Event, datetime]]:
    at = EPOCH + timedelta(minutes=dice.randrange(600 * 24 * 60))
    evidence = Evidence(at=at, by=ACTOR, note="agreed by telephone")
    amount = Money(minor=dice.randrange(10_000, 500_000_00), currency="CNY")
    raised = Money(minor=amount.minor + 1_000_00, currency="CNY")
    events: list[Event] = [
        OpportunityOpened(
            name=f"Line {dice.randrange(10_000)} · 生产线", process="default", process_version=1,
            owner_id=owner(dice.randrange(200)), amount=amount,
        ),
        BuyingStageObserved(stage=1 + dice.randrange(2), evidence=evidence),
        CloseDateSet(close_date=date(2026, 1 + dice.randrange(12), 15)),
        MilestoneReached(stage=1, milestone="information_gathered", evidence=evidence),
        StageEntered(stage=1),
        CommitmentGiven(stage=1, criterion="agrees_to_meet", evidence=evidence),
        StageCompleted(stage=1),
        AmountRaised(amount=raised, former=amount),
        BuyingStageObserved(stage=2 + dice.randrange(6), evidence=evidence),
    ]  # fmt: skip
    end = dice.randrange(6)
    if end == 0:
        events.append(OpportunityWon(amount=raised, evidence=evidence))
    elif end == 1:
        events.append(OpportunityLost(reason="price"))
    else:
        events.append(StageEntered(stage=2))
    times = [at := at + timedelta(minutes=dice.randrange(1, 12_000)) for _ in events]
    return list(zip(events, times, strict=True))


def history_requests(opportunities: int, first: int = 0) -> Iterator[AppendRequest]:
    """A request for each opportunity of `histories`."""
    for entity, history in histories(opportunities, first):
        stream_id = f"opportunity-{entity}"
        pending = tuple(Pending(stream_id, event, at, new_id()) for event, at in history)
        yield AppendRequest(pending, {stream_id: 0}, ACTOR, new_id())
