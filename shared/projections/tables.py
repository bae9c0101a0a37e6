"""The runner's own tables: schema `projection` of a service's database."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine

SCHEMA = "projection"
metadata = MetaData(schema=SCHEMA)

generation = Table(
    "generation",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("state", String(10), nullable=False),  # building, live, old
    Column("shape", String(16), nullable=False),  # of its tables
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("old_since", DateTime(timezone=True)),
    Index("generation_one_live", "projection", unique=True, postgresql_where=text("state = 'live'")),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", SmallInteger, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

parked = Table(
    "parked",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("partition", SmallInteger, nullable=False),
    Column("stream_id", Text, nullable=False),
    Column("type_name", Text, nullable=False),
    Column("headers", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("error", Text),  # null: queued behind the bad one
    Column("place", Text),  # file:line where our code raised it
    Column("parked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("parked_stream", "projection", "generation", "stream_id", "position"),
)

# Without the generation: what was given up stays so when the read model is built anew.
dropped = Table(
    "dropped",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("stream_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("dropped_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

worker = Table(
    "worker",
    metadata,
    Column("worker_id", Text, primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Column("shapes", JSONB(none_as_null=True)),  # projection → shape of its tables in the worker's code; null: not told
)

alarm = Table(
    "alarm",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", SmallInteger, primary_key=True),
    Column("kind", String(20), nullable=False),  # missing, newer_version, unreadable, other_history
    Column("detail", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# What a reader went past and does not make good by itself; it goes with the generation.
note = Table(
    "note",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", SmallInteger, primary_key=True),
    Column("type_name", Text, primary_key=True),
    Column("kind", String(20), nullable=False),  # unknown_type
    Column("position", BigInteger, nullable=False),  # of the first
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

reaction = Table(
    "reaction",
    metadata,
    Column("reactor", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("outcome", String(10), nullable=False),  # done, refused; of a parked event there is none yet
    Column("detail", Text),
    Column("reacted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)


# From the tables of earlier releases to those above; each does nothing where it has been done.
_CHANGES = (
    f"ALTER TABLE {SCHEMA}.parked ADD COLUMN IF NOT EXISTS place text",
    f"ALTER TABLE {SCHEMA}.generation ADD COLUMN IF NOT EXISTS old_since timestamptz",
    f"ALTER TABLE {SCHEMA}.worker ADD COLUMN IF NOT EXISTS shapes jsonb",
    f"""
    DO $$ BEGIN
        IF EXISTS (SELECT FROM information_schema.columns
                   WHERE table_schema = '{SCHEMA}' AND table_name = 'dropped' AND column_name = 'generation') THEN
            DELETE FROM {SCHEMA}.dropped d USING {SCHEMA}.dropped newer
            WHERE (newer.projection, newer.topic, newer.position) = (d.projection, d.topic, d.position)
              AND newer.generation > d.generation;
            ALTER TABLE {SCHEMA}.dropped DROP COLUMN generation;
            ALTER TABLE {SCHEMA}.dropped ADD PRIMARY KEY (projection, topic, position);
        END IF;
    END $$
    """,  # noqa: S608
)


async def migrate_projections(engine: AsyncEngine) -> None:
    """Make the schema and what is missing in it; safe to call from several processes at once."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('keyfold projection schema', 0))"))
        await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        await connection.run_sync(metadata.create_all)
        for statement in _CHANGES:
            await connection.execute(text(statement))
