"""Send published events once more: heals a log that lost some, or readers that miss some."""

from dataclasses import dataclass

from shared.eventstore.store import EventStore
from shared.relay.cursor import cursor_at, move_cursor, read_cursor
from shared.relay.lease import open_lease_session


@dataclass(frozen=True, slots=True)
class Republished:
    """Positions `first` to `last` are sent again; readers drop those they know."""

    topic: str
    first: int
    last: int


async def republish(dsn: str, store: EventStore, after: int) -> Republished:
    """Set the relay's cursor back to `after`, so that the relay sends everything from there on again.

    It goes through the relay and up to the very end because a reader that misses an event takes nothing of that partition
    until it has met the missing one and then all that followed, in order. A relay that runs notices the moved cursor and
    starts again; no need to stop it. Raises ValueError when `after` is negative or not yet published.
    """
    topic = store.contract.topic
    session = await open_lease_session(dsn)
    try:
        while True:
            before = await read_cursor(session, topic)
            if not 0 <= after <= before.position:
                raise ValueError(f"events 0 to {before.position} of {topic} are published, {after} is not one of them")
            if await move_cursor(session, topic, before, await cursor_at(store, after)):
                store.appended.set()
                return Republished(topic, after + 1, before.position)
    finally:
        await session.close()
