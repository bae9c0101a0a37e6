"""Completeness shows: records vanish from the log; a rebuild refuses and names the gap, republishing heals."""

import asyncpg
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.log.port import PARTITIONS
from shared.relay.republish import republish
from tests.faults.checker import Fact, Record, ViolationError, check_read_models, generations, read_log
from tests.faults.processes import Program
from tests.faults.scene import Scene, lines


async def _filled(scene: Scene) -> tuple[list[Fact], list[Record]]:
    worker = await scene.worker()
    await scene.load.start(lines(60), tasks=4, mix={"count": 3, "pair": 1}, count=300 * scene.chaos.strength)
    history = await scene.checked_history(await scene.load.ended())
    await scene.shown()
    await scene.published()
    await worker.stop()
    return history, await read_log(scene.log_url, scene.topic)


async def _check_refused(scene: Scene, named: set[int]) -> None:
    """Refused, with one of these positions named; the live generation is untouched."""
    rebuilt: Program = await scene.rebuilding()
    status, said = await rebuilt.ended(), rebuilt.said[-1]
    if status != 3 or not any(str(position) in said for position in named):
        raise ViolationError(
            "completeness shows", f"{sorted(named)} are missing, and the rebuild said {said} ({status})"
        )
    assert await generations(scene.dsn, "tally_lines") == {"live": 1}


async def _check_healed(scene: Scene, history: list[Fact], after: int) -> None:
    """What the message says is done; then the rebuild goes through and is right."""
    worker = await scene.worker()
    async with scene.store() as store:
        await republish(scene.dsn, store, after)
    await scene.published()
    rebuilt = await scene.rebuilding()
    if await rebuilt.ended() != 0 or not rebuilt.said[-1].endswith("equal"):
        raise ViolationError("republishing heals", rebuilt.last_words())
    await check_read_models(scene.dsn, history, "republishing heals")
    await worker.stop()


async def test_records_that_are_gone_from_the_middle_are_named(scene: Scene) -> None:
    history, records = await _filled(scene)
    lost = await _lose(scene, records)
    await _check_refused(scene, lost)
    await _check_healed(scene, history, min(lost) - 1)


async def _lose(scene: Scene, records: list[Record]) -> set[int]:
    """Random records, none of them the last of its partition: that one would have been a crash of the log's own, which the
    relay finds. The positions.
    """
    last = {record.partition: record.position for record in records}
    able = [record.position for record in records if record.position != last[record.partition]]
    lost = set(scene.chaos.dice.sample(able, scene.chaos.dice.randrange(1, 6)))
    connection = await asyncpg.connect(scene.log_url)
    try:
        await connection.execute(
            "DELETE FROM log.record WHERE (headers ->> 'ce_keyfoldposition')::bigint = ANY($1::bigint[])", list(lost)
        )
    finally:
        await connection.close()
    return lost


@pytest.mark.kafka
async def test_a_topic_that_lost_its_beginning_is_named(kafka_scene: Scene) -> None:
    scene = kafka_scene
    history, records = await _filled(scene)
    ours = {n: [record for record in records if record.partition == n] for n in range(PARTITIONS)}
    victim = scene.chaos.pick([n for n, found in ours.items() if len(found) > 3])
    cut = scene.chaos.dice.randrange(1, len(ours[victim]) - 1)
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.log_url.removeprefix("kafka://"))
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(scene.topic, victim): RecordsToDelete(before_offset=cut)})
    finally:
        await admin.close()
    await _check_refused(scene, {record.position for record in ours[victim][:cut]})
    await _check_healed(scene, history, 0)
