"""How far the relay is behind: what the store has and its cursor has not passed yet, whichever process publishes."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True, slots=True)
class RelayLag:
    """`head`: position of the store's last event; `events` not published; `seconds` since the oldest of them was recorded."""

    head: int
    events: int
    seconds: float


async def relay_lag(engine: AsyncEngine, topic: str) -> RelayLag:
    """Asks the database alone: it also answers while the log is away."""
    async with engine.connect() as connection:
        head, events, seconds = (await connection.execute(_LAG, {"topic": topic})).one()
    return RelayLag(head, events, max(0.0, float(seconds)))


_LAG = text("""
SELECT head.position, head.position - published.position,
       coalesce(extract(epoch FROM clock_timestamp() - next.recorded_at), 0)
FROM store.head
CROSS JOIN (SELECT coalesce((SELECT position FROM store.relay WHERE topic = :topic), 0) AS position) AS published
LEFT JOIN store.event AS next ON next.position = published.position + 1
WHERE head.one
""")
