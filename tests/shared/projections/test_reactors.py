"""Reactors: an event becomes commands, with one effect however often it is delivered; a refusal is an outcome."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest_asyncio
from sqlalchemy import text, update

from shared.contracts.event import Contract, Event, Recorded
from shared.contracts.refusal import refuse
from shared.eventstore.aggregate import Aggregate
from shared.eventstore.commands import Commands, Decide, Work
from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.eventstore.types import JsonObject
from shared.kit.clock import FixedClock
from shared.projections import parked, tables
from shared.projections.reactors import Reaction, Reactor, ReactSink
from tests.shared.projections.spine import Spine, in_one_partition
from tests.shared.projections.visits import NOON, VISITS, NoteTaken, VisitHeld, VisitPlanned, recorded, visit_list

LETTERS = Contract("letters")


@LETTERS.event("letters.letter_written")
class LetterWritten(Event):
    """Thanks for a visit."""

    text: str


LETTER = Aggregate("letter", 0, lambda count, _: count + 1)


def write(letter: str, words: str) -> Decide:
    async def decide(work: Work) -> JsonObject:
        await work.state(LETTER, letter)
        if words == "nothing to say":
            raise refuse("empty_letter", "a letter says something")
        work.append(LETTER, letter, LetterWritten(text=words))
        return {}

    return decide


thanks = Reactor("thanks", sources=[VISITS])


@thanks.on(VisitHeld)
async def visit_held(reaction: Reaction, e: Recorded[VisitHeld]) -> None:
    """One letter for the visit, one more for each topic."""
    if e.event.minutes < 0:
        raise ValueError("nobody can thank for that")
    for words in ("thank you", *e.event.topics):
        await reaction.run({"words": words}, write(e.entity_id, words))


@dataclass
class Office:
    spine: Spine
    store: EventStore
    sink: ReactSink

    async def letters(self, visit: str) -> list[str]:
        written = [letter.event for letter in await self.store.load(f"letter-{visit}")]
        return [letter.text for letter in written if isinstance(letter, LetterWritten)]

    async def outcomes(self) -> dict[str, tuple[str, str | None]]:
        rows = await self.spine.rows_in(tables.reaction)
        return {row["event_id"]: (row["outcome"], row["detail"]) for row in rows}

    async def acted(self) -> bool:
        """Has the reactor come to the end of what was published?"""
        at = {
            row["partition"]: row["position"]
            for row in await self.spine.rows_in(tables.checkpoint)
            if row["projection"] == "reactor:thanks"
        }
        return all(at.get(part, 0) >= position for part, position in self.spine.published.partitions.items())


@pytest_asyncio.fixture(loop_scope="session")
async def office(spine: Spine, database: str) -> AsyncIterator[Office]:
    await migrate_store(database)
    store = await EventStore.open(database, LETTERS)
    try:
        commands = Commands(store, b"secret", FixedClock(NOON + timedelta(days=1)))
        yield Office(spine, store, ReactSink(spine.engine, thanks, commands))
    finally:
        await store.close()


FACTS = recorded(
    ("a", VisitPlanned(seller="wang")),
    ("a", VisitHeld(minutes=30, topics=("price", "service"))),
    ("b", VisitHeld(minutes=20)),
    ("b", NoteTaken(text="late")),
)


async def react(office: Office) -> None:
    async with office.spine.running(acting=[office.sink]):
        await office.spine.until(office.acted)


async def test_an_event_becomes_commands_in_order_caused_by_it(office: Office) -> None:
    await office.spine.publish(FACTS)
    await react(office)
    assert await office.letters("a") == ["thank you", "price", "service"]
    assert await office.letters("b") == ["thank you"]
    first: Recorded[Any] = (await office.store.load("letter-a"))[0]
    cause = FACTS[1]
    assert (first.causation_id, first.correlation_id, first.occurred_at, first.actor) == (
        cause.event_id, cause.correlation_id, cause.occurred_at, "reactor/thanks",
    )  # fmt: skip
    assert await office.outcomes() == {str(FACTS[1].event_id): ("done", None), str(FACTS[2].event_id): ("done", None)}


async def test_an_event_that_is_delivered_again_has_no_second_effect(office: Office) -> None:
    await office.spine.publish(FACTS)
    await react(office)
    async with office.spine.engine.begin() as connection:
        # What a crash between acting and booking leaves, and worse: nothing is booked at all.
        await connection.execute(update(tables.checkpoint).values(position=0, log_offset=0))
        await connection.execute(tables.reaction.delete())
    await react(office)
    assert await office.letters("a") == ["thank you", "price", "service"]
    assert len(await office.outcomes()) == 2


async def test_an_outcome_on_record_is_not_decided_again(office: Office) -> None:
    facts = recorded(("a", VisitHeld(minutes=1, topics=("nothing to say",))))
    await office.spine.publish(facts)
    await react(office)
    async with office.spine.engine.begin() as connection:
        await connection.execute(update(tables.checkpoint).values(position=0, log_offset=0))
        await connection.execute(text("DELETE FROM store.command"))
    await react(office)
    assert await office.letters("a") == ["thank you"]


async def test_two_workers_that_overlap_act_once(office: Office) -> None:
    facts = recorded(*((f"v{n}", VisitHeld(minutes=n)) for n in range(150)))
    spine = office.spine
    async with spine.running(acting=[office.sink], worker="twin"), spine.running(acting=[office.sink], worker="twin"):
        await spine.publish(facts)
        await spine.until(office.acted)
    assert await office.store.head() == 150
    assert len(await office.outcomes()) == 150


async def test_a_refusal_is_an_outcome_and_not_poison(office: Office) -> None:
    facts = recorded(
        ("a", VisitHeld(minutes=1, topics=("nothing to say",))),
        ("a", VisitHeld(minutes=1)),
    )
    await office.spine.publish(facts)
    await react(office)
    outcomes = await office.outcomes()
    outcome, detail = outcomes[str(facts[0].event_id)]
    assert outcome == "refused"
    assert "a letter says something" in str(detail)
    assert outcomes[str(facts[1].event_id)] == ("done", None)
    assert await office.letters("a") == ["thank you", "thank you"]
    assert await parked.parked_streams(office.spine.engine) == []


async def test_a_handler_that_fails_parks_the_stream_and_the_others_go_on(office: Office) -> None:
    a, b = in_one_partition(2)
    facts = recorded(
        (b, VisitHeld(minutes=1)), (a, VisitHeld(minutes=-1)), (b, VisitHeld(minutes=2)), (a, VisitHeld(minutes=3))
    )
    await office.spine.publish(facts)
    await react(office)
    assert await office.letters(a) == []
    assert await office.letters(b) == ["thank you", "thank you"]
    [stream] = await parked.parked_streams(office.spine.engine)
    assert (stream.projection, stream.stream_id, stream.events) == ("reactor:thanks", f"visit-{a}", 2)
    assert stream.error == "ValueError: nobody can thank for that"
    await parked.drop(office.spine.engine, office.sink, f"visit-{a}", 2, reason="mistake", actor="zhao")
    assert await parked.replay(office.spine.engine, office.sink, f"visit-{a}") == 1
    assert await office.letters(a) == ["thank you"]
    assert len(await office.outcomes()) == 3


async def test_a_store_that_is_away_for_a_while_is_waited_for(office: Office, database: str) -> None:
    facts = recorded(*((f"v{n}", VisitHeld(minutes=n)) for n in range(100)))
    spine = office.spine
    connection = await asyncpg.connect(database)
    try:
        async with spine.running(acting=[office.sink]):
            for start in range(0, 100, 25):
                await spine.publish(facts[start : start + 25])
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name = 'keyfold-store'"
                )
            await spine.until(office.acted)
    finally:
        await connection.close()
    assert await office.store.head() == 100
    assert await parked.parked_streams(spine.engine) == []
    assert {outcome for outcome, _ in (await office.outcomes()).values()} == {"done"}


async def test_reactors_and_read_models_share_a_worker(office: Office) -> None:
    await office.spine.publish(FACTS)
    async with office.spine.running(visit_list, acting=[office.sink]):
        await office.spine.seen(visit_list)
        await office.spine.until(office.acted)
    assert await office.letters("b") == ["thank you"]
