"""The opportunity service: what it is made of."""

import contextlib
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from services.opportunity.api import ROUTERS, TAGS
from services.opportunity.backtesting.start import stop_all
from services.opportunity.backtesting.table import migrate_backtests
from services.opportunity.commands import define_process
from services.opportunity.domain.anomalies.limits import DEFAULT_LIMITS, DEFAULT_LIMITS_KEY
from services.opportunity.domain.assessment.model import DEFAULT_MODEL, DEFAULT_MODEL_KEY
from services.opportunity.domain.process import DEFAULT_PROCESS, DEFAULT_PROCESS_KEY
from services.opportunity.gating import define_default_book
from services.opportunity.judging import define_limits, define_model
from services.opportunity.projections import READ_MODELS
from services.opportunity.projections.organisation import organisation
from services.opportunity.proving import GAUGES, due_rules, plan_proofs
from services.opportunity.visibility import find
from shared.contracts.opportunity import CONTRACT, FileAttached
from shared.eventstore.commands import CommandContext, Commands, Decide
from shared.eventstore.types import IdempotencyMismatchError
from shared.kit.clock import Clock
from shared.kit.ids import new_id
from shared.service.definition import Service

SEEDS: Mapping[str, Decide] = {  # the ids of commands: for ever. In this order: limits are of stages that there are.
    "keyfold/seed/default-process": lambda work: define_process(work, DEFAULT_PROCESS_KEY, DEFAULT_PROCESS),
    "keyfold/seed/assessment-model": lambda work: define_model(work, DEFAULT_MODEL_KEY, DEFAULT_MODEL),
    "keyfold/seed/anomaly-limits": lambda work: define_limits(work, DEFAULT_LIMITS_KEY, DEFAULT_LIMITS),
    "keyfold/seed/gate-book": define_default_book,
}


async def seed(commands: Commands, clock: Clock) -> None:
    """Define the default process, how deals are judged and the gates, once; whoever has changed them since keeps the change."""
    for command_id, decide in SEEDS.items():
        context = CommandContext("keyfold/seed", clock.now(), new_id(), command_id=command_id)
        # Recorded under another secret is recorded all the same.
        with contextlib.suppress(IdempotencyMismatchError):
            await commands.run(context, {}, decide)


async def prepare(engine: AsyncEngine) -> None:
    await migrate_backtests(engine)
    await plan_proofs(engine)


SERVICE = Service(
    name="opportunity",
    title="Opportunities",
    description=(
        "Opportunities on their way through both processes: the funnel, the pipeline, what it promises, and the gates before it."
    ),
    contract=CONTRACT,
    projections=READ_MODELS,
    routers=ROUTERS,
    tags=TAGS,
    find=find,
    found_in=(organisation,),
    seed=seed,
    prepare=prepare,
    stop=stop_all,
    due_rules=due_rules,
    files_in=(FileAttached,),
    gauges=GAUGES,
)
