"""The append statement takes rows: each assertion, event and command is one value, where `append_1` takes a column each.

`append_1` stays for processes of the former release that run while a deploy is under way.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

ROWS = (
    "CREATE TYPE store.append_2_assertion AS (item int, stream_id text, version int)",
    """
CREATE TYPE store.append_2_event AS (
    item int, stream_id text, version int, event_id uuid, type_name text, type_version int, data json,
    occurred_at timestamptz, actor text, correlation_id uuid, causation_id uuid, traceparent text
)
""",
    """
CREATE TYPE store.append_2_command AS (
    item int, command_id text, input_hash bytea, answer json, versions json, events int
)
""",
)

# Items are numbered from 1 in the order of the request; every list is sorted by item, and every item has one
# command (its id null if none is to be recorded). An item whose assertion fails or whose command is known is left out as
# a whole and named in the answer. Items must not depend on each other: no stream written by one and named by a later
# one, no command id twice. Positions and sums follow the order of the lists, which unnest keeps.
APPEND = """
CREATE FUNCTION store.append_2(
    assertions store.append_2_assertion[], events store.append_2_event[], commands store.append_2_command[],
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

    SELECT array_agg(checked.item), array_agg(checked.stream_id), array_agg(checked.actual)
    INTO bad_item, bad_stream, bad_version
    FROM (
        SELECT a.item, a.stream_id, a.version, coalesce((
            SELECT e.version FROM store.event e WHERE e.stream_id = a.stream_id ORDER BY e.version DESC LIMIT 1
        ), 0) AS actual
        FROM unnest(assertions) AS a
    ) AS checked
    WHERE checked.actual <> checked.version;

    SELECT array_agg(c.item) INTO seen_item
    FROM unnest(commands) AS c
    WHERE EXISTS (SELECT FROM store.command k WHERE k.command_id = c.command_id);

    refused := coalesce(bad_item, '{}') || coalesce(seen_item, '{}');

    INSERT INTO store.event (
        position, stream_id, version, event_id, type_name, type_version, data, occurred_at, recorded_at,
        actor, correlation_id, causation_id, traceparent
    )
    SELECT base + row_number() OVER (), e.stream_id, e.version, e.event_id, e.type_name, e.type_version,
           e.data, e.occurred_at, moment, e.actor, e.correlation_id, e.causation_id, e.traceparent
    FROM unnest(events) AS e
    WHERE e.item <> ALL (refused);
    GET DIAGNOSTICS written = ROW_COUNT;

    INSERT INTO store.command (
        command_id, input_hash, answer, versions, first_position, last_position, recorded_at
    )
    SELECT c.command_id, c.input_hash, c.answer, c.versions,
           CASE WHEN c.events = 0 THEN 0 ELSE c.last - c.events + 1 END,
           CASE WHEN c.events = 0 THEN 0 ELSE c.last END,
           moment
    FROM (
        SELECT i.*, base + sum(i.events) OVER (ROWS UNBOUNDED PRECEDING) AS last
        FROM unnest(commands) AS i
        WHERE i.item <> ALL (refused)
    ) AS c
    WHERE c.command_id IS NOT NULL;

    IF written > 0 THEN
        UPDATE store.head SET position = base + written, recorded_at = moment WHERE one;
    END IF;
END
$$;
"""


def upgrade() -> None:
    for row in ROWS:
        op.execute(row)
    op.execute(APPEND)
