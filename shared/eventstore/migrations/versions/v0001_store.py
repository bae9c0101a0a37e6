"""The store: events, the head, commands, the relay's cursor, and the append statement.

A function is never replaced by one that behaves otherwise: a new one gets a new name, because processes of
the former release still call the old one while a deploy is under way.
"""

from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    """
CREATE TABLE store.event (
    position       bigint      NOT NULL PRIMARY KEY,
    stream_id      text        NOT NULL,
    version        integer     NOT NULL CHECK (version > 0),
    event_id       uuid        NOT NULL,
    type_name      text        NOT NULL,
    type_version   integer     NOT NULL,
    data           json        NOT NULL,
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    actor          text        NOT NULL,
    correlation_id uuid        NOT NULL,
    causation_id   uuid,
    traceparent    text,
    UNIQUE (stream_id, version)
)
""",
    """
-- One row: whoever holds its lock may append. Its position is that of the last event.
CREATE TABLE store.head (
    one         boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    position    bigint      NOT NULL,
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 10)
""",
    """
INSERT INTO store.head (position, recorded_at) VALUES (0, '-infinity')
""",
    """
CREATE TABLE store.command (
    command_id     text        NOT NULL PRIMARY KEY,
    input_hash     bytea       NOT NULL,
    answer         json        NOT NULL,
    versions       json        NOT NULL,
    first_position bigint      NOT NULL,
    last_position  bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL
)
""",
    """
CREATE TABLE store.relay (
    topic      text   NOT NULL PRIMARY KEY,
    position   bigint NOT NULL,
    partitions jsonb  NOT NULL
)
""",
)

# Items are numbered from 1 in the order of the request; x_ are their assertions, e_ their events, c_ their
# commands, each sorted by item. An item whose assertion fails or whose command is known is left out as a whole and
# named in the answer. Items must not depend on each other: no stream written by one and named by a later one, no
# command id twice.
APPEND = """
CREATE FUNCTION store.append_1(
    x_item int[], x_stream text[], x_version int[],
    e_item int[], e_stream text[], e_version int[], e_id uuid[], e_type text[], e_type_version int[],
    e_data text[], e_occurred_at timestamptz[],
    e_actor text[], e_correlation uuid[], e_causation uuid[], e_traceparent text[],
    c_item int[], c_id text[], c_hash bytea[], c_answer text[], c_versions text[], c_events int[],
    OUT base bigint, OUT moment timestamptz,
    OUT bad_item int[], OUT bad_stream text[], OUT bad_version int[], OUT seen_item int[]
) LANGUAGE plpgsql
-- Plans are kept, and may have been made while the tables were empty: none may read a whole table.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    refused int[];
    written bigint;
BEGIN
    SELECT h.position, greatest(h.recorded_at, clock_timestamp()) INTO STRICT base, moment
    FROM store.head h WHERE h.one FOR UPDATE;

    SELECT array_agg(checked.item), array_agg(checked.stream), array_agg(checked.actual)
    INTO bad_item, bad_stream, bad_version
    FROM (
        SELECT x.item, x.stream, x.version, coalesce((
            SELECT e.version FROM store.event e WHERE e.stream_id = x.stream ORDER BY e.version DESC LIMIT 1
        ), 0) AS actual
        FROM unnest(x_item, x_stream, x_version) AS x (item, stream, version)
    ) AS checked
    WHERE checked.actual <> checked.version;

    SELECT array_agg(c.item) INTO seen_item
    FROM unnest(c_item, c_id) AS c (item, id)
    WHERE EXISTS (SELECT FROM store.command k WHERE k.command_id = c.id);

    refused := coalesce(bad_item, '{}') || coalesce(seen_item, '{}');

    INSERT INTO store.event (
        position, stream_id, version, event_id, type_name, type_version, data, occurred_at, recorded_at,
        actor, correlation_id, causation_id, traceparent
    )
    SELECT base + row_number() OVER (ORDER BY e.n), e.stream, e.version, e.id, e.type, e.type_version,
           e.data::json, e.occurred_at, moment, e.actor, e.correlation, e.causation, e.traceparent
    FROM unnest(e_item, e_stream, e_version, e_id, e_type, e_type_version, e_data, e_occurred_at,
                e_actor, e_correlation, e_causation, e_traceparent) WITH ORDINALITY
         AS e (item, stream, version, id, type, type_version, data, occurred_at,
               actor, correlation, causation, traceparent, n)
    WHERE e.item <> ALL (refused);
    GET DIAGNOSTICS written = ROW_COUNT;

    INSERT INTO store.command (
        command_id, input_hash, answer, versions, first_position, last_position, recorded_at
    )
    SELECT c.id, c.hash, c.answer::json, c.versions::json,
           CASE WHEN c.events = 0 THEN 0 ELSE base + c.before + 1 END,
           CASE WHEN c.events = 0 THEN 0 ELSE base + c.before + c.events END,
           moment
    FROM (
        SELECT k.*, sum(k.events) OVER (ORDER BY k.item) - k.events AS before
        FROM unnest(c_item, c_id, c_hash, c_answer, c_versions, c_events)
             AS k (item, id, hash, answer, versions, events)
        WHERE k.item <> ALL (refused)
    ) AS c
    WHERE c.id IS NOT NULL;

    IF written > 0 THEN
        UPDATE store.head SET position = base + written, recorded_at = moment WHERE one;
    END IF;
END
$$;
"""


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)
    op.execute(APPEND)
