"""Old events readable: every example of every version that was ever published lies in a store as old code left it; today's
code loads, publishes and decodes it, and an old version reads as was promised.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from shared.contracts.event import Contract, encode
from shared.contracts.tooling import discover
from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.log.cloudevents import decode_record, encode_record
from shared.log.port import LogRecord
from tests.faults.checker import check_read_models, read_history
from tests.faults.processes import ROOT
from tests.faults.scene import Scene
from tests.faults.tally import TALLY

CONTRACTS = discover()
MOMENT = datetime(2017, 3, 31, 1, 0, tzinfo=UTC)
OLD_ROW = """
INSERT INTO store.event (position, stream_id, version, event_id, type_name, type_version, data, occurred_at, recorded_at,
                         actor, correlation_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, 'somebody', $9)
"""


def _examples(contract: Contract) -> Iterator[tuple[str, int, Path]]:
    """(type name, version, file) of everything that is kept."""
    for folder in sorted((ROOT / "shared/contracts" / contract.service / "examples").iterdir()):
        name, _, version = folder.name.rpartition(".v")
        for file in sorted(folder.glob("*.json")):
            if not file.name.endswith(".expected.json"):
                yield name, int(version), file


async def _store_old(dsn: str, rows: list[tuple[str, int, str, str]]) -> None:
    """(type name, version, data, stream) each, as code of any age would have left them."""
    await migrate_store(dsn)
    connection = await asyncpg.connect(dsn)
    versions: dict[str, int] = {}
    try:
        for position, (name, version, data, stream) in enumerate(rows, 1):
            versions[stream] = versions.get(stream, 0) + 1
            await connection.execute(
                OLD_ROW, position, stream, versions[stream], uuid4(), name, version, data, MOMENT, uuid4()
            )
        await connection.execute("UPDATE store.head SET position = $1, recorded_at = $2", len(rows), MOMENT)
    finally:
        await connection.close()


def _says(read: Any, kept: Any) -> bool:
    """Does it say all that was kept? Beyond that it may have optional fields that were thought of later."""
    if isinstance(kept, dict):
        return isinstance(read, dict) and all(name in read and _says(read[name], value) for name, value in kept.items())
    if isinstance(kept, list):
        return isinstance(read, list) and len(read) == len(kept) and all(map(_says, read, kept))
    return bool(read == kept)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda one: one.service)
async def test_every_example_ever_kept_is_read_from_store_and_log(database: str, contract: Contract) -> None:
    kept = list(_examples(contract))
    ever = {(name, version) for name, cls in contract.events.items() for version in range(1, cls.type_version + 1)}
    assert {(name, version) for name, version, _ in kept} == ever, "each version that ever was has an example"
    await _store_old(database, [(name, version, file.read_text(), "old-1") for name, version, file in kept])
    store = await EventStore.open(database, contract, max_size=2)
    try:
        loaded = await store.load("old-1")
        envelopes = await store.envelopes(0, len(kept) + 1)
    finally:
        await store.close()
    assert len(loaded) == len(envelopes) == len(kept)
    for (name, version, file), recorded, envelope in zip(kept, loaded, envelopes, strict=True):
        event = recorded.event
        assert type(event) is contract.events[name]
        sent = encode_record(envelope, service=contract.service, topic="t", partition=0, previous=0)
        read, _ = decode_record(LogRecord("t", 0, 0, sent.key, sent.value, sent.headers))
        assert contract.open(read).event == event
        expected = file
        if version < contract.events[name].type_version:  # what it reads as today is promised, too
            expected = file.with_name(f"{file.stem}.expected.json")
        assert _says(json.loads(encode(event)), json.loads(expected.read_text())), f"{name}.v{version}: {file.name}"


async def test_a_read_model_takes_old_and_new_versions_of_an_event(scene: Scene) -> None:
    rows: list[tuple[str, int, str, str]] = []
    for n in range(40):
        key: dict[str, Any] = {"key": f"k{n}", "caller": "somebody"}
        data = [key | {"whole": n}, key | {"hundredths": n * 100 + 1}]
        version = scene.chaos.dice.choice([1, 2])
        rows.append(("tally.graded", version, json.dumps(data[version - 1]), f"tally-line{n % 7}"))
    await _store_old(scene.dsn, rows)
    worker = await scene.worker()
    await scene.shown()
    await check_read_models(scene.dsn, await read_history(scene.dsn), "old events are readable")
    async with scene.store() as store:
        events = [recorded.event for recorded in await store.load("tally-line0")]
    assert {type(event) for event in events} == {TALLY.events["tally.graded"]}
    await worker.stop()
