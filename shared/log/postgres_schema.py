"""The tables of the PostgreSQL log, in schema `log`. Every statement may be repeated."""

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS log;

CREATE TABLE IF NOT EXISTS log.topic (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    partitions int NOT NULL
);

-- next_offset is changed in place by every append: room for that keeps the index untouched
CREATE TABLE IF NOT EXISTS log.partition (
    topic int NOT NULL REFERENCES log.topic,
    partition int NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 20);

CREATE TABLE IF NOT EXISTS log.record (
    topic int NOT NULL,
    partition int NOT NULL,
    record_offset bigint NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    headers json NOT NULL,
    appended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition, record_offset)
);

CREATE TABLE IF NOT EXISTS log.group_offset (
    name text NOT NULL,
    topic int NOT NULL REFERENCES log.topic,
    partition int NOT NULL,
    next_offset bigint NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, topic, partition)
);

-- Locks the topic until the transaction ends, so offsets are dense and become visible in their order.
CREATE OR REPLACE FUNCTION log.append(
    to_topic int, partitions int[], keys text[], contents bytea[], header_texts text[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM log.topic WHERE id = to_topic FOR NO KEY UPDATE;

    INSERT INTO log.record (topic, partition, record_offset, key, value, headers)
    SELECT to_topic, new.partition,
           old.next_offset + row_number() OVER (PARTITION BY new.partition ORDER BY new.place) - 1,
           new.key, new.content, new.headers::json
    FROM unnest(partitions, keys, contents, header_texts) WITH ORDINALITY
         AS new (partition, key, content, headers, place)
    JOIN log.partition old ON old.topic = to_topic AND old.partition = new.partition
    ORDER BY new.place;

    UPDATE log.partition moved SET next_offset = moved.next_offset + counted.n
    FROM (SELECT p, count(*) AS n FROM unnest(partitions) p GROUP BY p) counted
    WHERE moved.topic = to_topic AND moved.partition = counted.p;
END $$;
"""
