"""The relay to Kafka, from the store: against a loop that sends the same records, made beforehand, with plain aiokafka."""

import asyncio
import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aiokafka import AIOKafkaProducer

from bench import facts
from bench.appending import fresh_store, open_store
from bench.harness import Bench, Row, interleaved, rate
from shared.contracts.event import Contract
from shared.contracts.opportunity import CONTRACT
from shared.eventstore.store import EventStore
from shared.log.kafka import BATCH_BYTES, COMPRESSION, KafkaLog
from shared.log.port import NewRecord
from shared.relay.cursor import Cursor
from shared.relay.relay import Relay, chained


async def measure(bench: Bench) -> Sequence[Row]:
    count = bench.size(30_000, 300)
    address = await bench.servers.kafka()
    dsn = await fresh_store(bench.servers, "relay")
    log, topics = KafkaLog(address), iter(range(10_000))
    try:
        async with open_store(dsn) as store:
            for start in range(0, count // facts.HISTORY, 500):
                some = min(500, count // facts.HISTORY - start)
                await store.append_bulk(list(facts.history_requests(some, start)))
            made = chained(CONTRACT, Cursor(), await store.envelopes(0, count))[0]

            async def relay() -> float:
                contract = copy.copy(CONTRACT)  # a topic of this round's own: a relay has a cursor for each
                contract.topic = f"bench.relay.{next(topics)}"
                await log.create_topic(contract.topic)
                async with open_store(dsn, contract) as renamed:
                    return await _relay(dsn, renamed, log, contract, count)

            async def plain(compression: str | None) -> float:
                topic = f"bench.plain.{next(topics)}"
                await log.create_topic(topic)
                return await _plain(address, [replace(record, topic=topic) for record in made], compression)

            found = await interleaved(
                bench, {"relay": relay, "without": lambda: plain(None), "with": lambda: plain(COMPRESSION)}
            )
    finally:
        await log.close()
    await bench.servers.drop(dsn)
    best = max(("without", "with"), key=lambda name: found[name].median)
    share = found["relay"].over(found[best])
    loops = ", ".join(
        f"{name} {COMPRESSION} {rate(found[name].median)} ({found['relay'].over(found[name]).median:.2f})"
        for name in ("without", "with")
    )
    return [
        Row(
            "relay", "relay to Kafka", rate(found["relay"].median), f"plain aiokafka loop {rate(found[best].median)}",
            share.median, "≥ 0.6", bench.judge(share.median >= 0.6),
            f"ratio {share.spread}; the faster of two loops counts, {loops}; the relay compresses",
        )
    ]  # fmt: skip


async def _relay(dsn: str, store: EventStore, log: KafkaLog, contract: Contract, count: int) -> float:
    """From the first event to the last one that is past the cursor."""
    relay, stop = Relay(dsn, store, log, contract), asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    try:
        while relay.status().state != "publishing":
            _trouble(relay)
            await asyncio.sleep(0.001)
        began = time.perf_counter()
        while relay.status().position < count:
            _trouble(relay)
            await asyncio.sleep(0.001)
        return count / (time.perf_counter() - began)
    finally:
        stop.set()
        await running


def _trouble(relay: Relay) -> None:
    """It would try again for ever; a figure with a retry in it is no figure."""
    if relay.status().failures or relay.status().state == "refused":
        raise RuntimeError(f"the relay has failed: {relay.status().error}")


async def _plain(address: str, made: Sequence[NewRecord], compression: str | None) -> float:
    """Send everything, then wait for the acknowledgements: as durable as the relay, and never waiting in between."""
    producer: Any = AIOKafkaProducer(  # type: ignore[no-untyped-call]
        bootstrap_servers=address, acks="all", enable_idempotence=True, compression_type=compression, linger_ms=0,
        max_batch_size=BATCH_BYTES,
    )  # fmt: skip
    await producer.start()
    try:
        began = time.perf_counter()
        waiting = []
        for record in made:
            headers = [(name, value.encode()) for name, value in record.headers.items()]
            waiting.append(
                await producer.send(
                    record.topic, record.value, key=record.key.encode(), partition=record.partition, headers=headers
                )
            )
        await asyncio.gather(*waiting)
        return len(made) / (time.perf_counter() - began)
    finally:
        await producer.stop()
