"""Every gate is proved to still fire, at set times: what its proofs expect is asked of the code as it is now (R5)."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.opportunity.domain.gates.book import BOOK
from services.opportunity.domain.gates.rule import prove
from services.opportunity.entities import GATE_BOOK, GATE_PROOFS
from services.opportunity.projections.gates import gates, proof
from shared.contracts.event import Recorded
from shared.contracts.opportunity import GateProof, GatesProved
from shared.eventstore.commands import CommandContext, Commands
from shared.eventstore.types import JsonObject, Pending
from shared.eventstore.work import Work
from shared.kit.clock import SystemClock
from shared.scheduler.due import DueItem, due_table, schedule
from shared.scheduler.worker import DueRule
from shared.service.definition import ReadGauge

RULE = "gate_proofs"
EVERY = timedelta(days=7)

log = structlog.get_logger(__name__)


async def prove_gates(work: Work) -> JsonObject:
    """Those in force now. One fact for all of them; nothing when none has proofs."""
    book = (await work.state(GATE_BOOK, BOOK)).state
    await work.state(GATE_PROOFS, BOOK)
    proofs = tuple(
        GateProof(
            gate=gate.key,
            version=gate.version,
            proofs=len(gate.rule.proofs),
            failing=tuple(case.name for case in prove(gate.rule)),
        )
        for gate in book.gates(work.context.now)
        if gate.rule.proofs
    )
    if proofs:
        work.append(GATE_PROOFS, BOOK, GatesProved(gates=proofs))
    return {"id": BOOK, "gates": len(proofs)}


def failing(events: Iterable[Recorded[Any] | Pending]) -> list[GateProof]:
    """Of those that were proved now: somebody must look at them."""
    return [proof for one in events if isinstance(one.event, GatesProved) for proof in one.event.gates if proof.failing]


def due_rules(commands: Commands, engine: AsyncEngine) -> Sequence[DueRule]:
    async def due(context: CommandContext, item: DueItem) -> None:
        outcome = await commands.run(context, {}, prove_gates)
        for bad in failing(outcome.events):
            log.error("a gate no longer does what its proofs expect", **bad.model_dump())
        async with engine.begin() as connection:
            await schedule(connection, RULE, item.stream_id, following(max(item.due_at, context.now)))

    return [DueRule(RULE, due)]


async def plan_proofs(engine: AsyncEngine) -> None:
    """The first time, where none is planned."""
    async with engine.begin() as connection:
        planned = select(due_table.c.due_at).where(due_table.c.rule == RULE, due_table.c.done_at.is_(None)).limit(1)
        if await connection.scalar(planned) is None:
            await schedule(connection, RULE, GATE_PROOFS.stream_id(BOOK), following(SystemClock().now()))


async def _failing_gates(connection: AsyncConnection) -> float:
    """How many failed when they were proved last."""
    last = select(func.max(proof.c.proved_at)).scalar_subquery()
    statement = select(func.count()).where(proof.c.proved_at == last, func.jsonb_array_length(proof.c.failing) > 0)
    return float(await connection.scalar(statement) or 0)


GAUGES = (
    ReadGauge("keyfold_gates_failing", "Gates that no longer do what their proofs expect.", gates, _failing_gates),
)


def following(moment: datetime) -> datetime:
    """The beginning of the next Monday (UTC)."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + EVERY - timedelta(days=day.weekday())
