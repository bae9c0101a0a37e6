"""What a lag tool sees of a consumer group, on either log."""

from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import text

from shared.log.kafka import KafkaLog
from tests.shared.projections.spine import Spine
from tests.shared.projections.visits import VISITS


async def committed(spine: Spine, group: str) -> dict[int, int]:
    """Partition of the topic → the offset from which the group says it will read on."""
    if isinstance(spine.log, KafkaLog):
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=spine.log._bootstrap)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(group)
        finally:
            await admin.close()
        return {each.partition: found.offset for each, found in offsets.items() if each.topic == VISITS.topic}
    statement = text(
        "SELECT o.partition, o.next_offset FROM log.group_offset o JOIN log.topic t ON t.id = o.topic "
        "WHERE o.name = :group AND t.name = :topic"
    )
    async with spine.engine.connect() as connection:
        rows = await connection.execute(statement, {"group": group, "topic": VISITS.topic})
        return {row.partition: row.next_offset for row in rows}
