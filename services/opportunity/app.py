"""The opportunity service: what it is made of."""

import contextlib

from services.opportunity.api import ROUTERS
from services.opportunity.commands import define_process
from services.opportunity.domain.process import DEFAULT_PROCESS, DEFAULT_PROCESS_KEY
from services.opportunity.projections.organisation import organisation
from services.opportunity.projections.processes import processes
from services.opportunity.projections.timeline import timeline
from services.opportunity.visibility import find
from shared.contracts.opportunity import CONTRACT
from shared.eventstore.commands import CommandContext, Commands, Work
from shared.eventstore.types import IdempotencyMismatchError, JsonObject
from shared.kit.clock import Clock
from shared.kit.ids import new_id
from shared.service.definition import Service

SEED = "keyfold/seed/default-process"  # the id of a command: for ever


async def seed(commands: Commands, clock: Clock) -> None:
    """Define the default sales process, once; whoever has changed it since keeps the change."""

    async def decide(work: Work) -> JsonObject:
        return await define_process(work, DEFAULT_PROCESS_KEY, DEFAULT_PROCESS)

    context = CommandContext("keyfold/seed", clock.now(), new_id(), command_id=SEED)
    # Recorded under another secret is recorded all the same.
    with contextlib.suppress(IdempotencyMismatchError):
        await commands.run(context, {}, decide)


SERVICE = Service(
    name="opportunity",
    title="Opportunities",
    description="Opportunities on their way through the selling and the buying process, and the funnel they make.",
    contract=CONTRACT,
    projections=(timeline, processes, organisation),
    routers=ROUTERS,
    find=find,
    found_in=(organisation,),
    seed=seed,
)
