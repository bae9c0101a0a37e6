"""The servers that every other test stands on are real, and they keep what they were given."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.kit.postgres_server import PostgresUnavailable, start_postgres
from shared.testing.servers import Databases


async def ask(dsn: str, question: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_a_database_is_empty_and_durable(database: str) -> None:
    assert await ask(database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert await ask(database, "SHOW fsync") == "on"
    assert await ask(database, "SHOW synchronous_commit") == "on"


async def test_databases_are_apart(databases: Databases) -> None:
    one, other = await databases("one"), await databases("other")
    await ask(one, "CREATE TABLE only_here ()")
    assert await ask(other, "SELECT to_regclass('only_here')") is None
    assert await databases("one") == one


async def test_postgres_keeps_data_port_and_password_through_stop_and_kill(tmp_path: Path) -> None:
    server = start_postgres(tmp_path / "pg")
    address = server.dsn("postgres")
    try:
        await ask(address, "CREATE TABLE kept AS SELECT 42 AS answer")
        for end in ("kill", "stop"):
            getattr(server, end)()
            assert not server.is_running()
            server = start_postgres(tmp_path / "pg")
            assert server.dsn("postgres") == address
            assert await ask(address, "SELECT answer FROM kept") == 42
    finally:
        server.stop()


async def test_one_folder_is_for_one_process(tmp_path: Path) -> None:
    server = start_postgres(tmp_path / "pg")
    try:
        with pytest.raises(PostgresUnavailable, match="in use by another"):
            start_postgres(tmp_path / "pg")
    finally:
        server.stop()


async def test_a_stale_pid_file_is_no_obstacle(tmp_path: Path) -> None:
    start_postgres(tmp_path / "pg").stop()
    (tmp_path / "pg" / "cluster" / "postmaster.pid").write_text("1\nleft over\n")
    server = start_postgres(tmp_path / "pg")
    try:
        assert await ask(server.dsn("postgres"), "SELECT 1") == 1
    finally:
        server.stop()


async def test_kafka_gives_back_what_it_was_given(kafka: str) -> None:
    topic = f"round-trip-{uuid4().hex[:8]}"
    await make_topic(kafka, topic)
    await produce(kafka, topic, [b"1", b"2", b"3"])
    assert await consume(kafka, topic, 3) == [b"1", b"2", b"3"]


async def test_a_killed_broker_comes_back_with_its_records(kafka_broker: Any) -> None:
    address = kafka_broker.start()
    await make_topic(address, "kept")
    await produce(address, "kept", [b"before"])
    kafka_broker.kill()
    assert kafka_broker.start() == address
    await produce(address, "kept", [b"after"])
    assert await consume(address, "kept", 2) == [b"before", b"after"]


async def make_topic(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, key=b"k")
    finally:
        await producer.stop()


async def consume(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()
