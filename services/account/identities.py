"""Finding and naming entities by the ids that other systems have for them."""

from collections.abc import Callable
from datetime import datetime

from services.account.domain.external_ids import decide_claim, decide_release, link
from services.account.domain.values import LinkExternalId, Reference
from services.account.entities import Entity, S
from shared.contracts.refusal import refuse
from shared.eventstore.commands import Work


def business_time(work: Work) -> datetime:
    return work.context.occurred_at or work.context.now


def begin(work: Work, entity: Entity[S], entity_id: str) -> S:
    """The state of an entity that is about to be made under a new id; the command is about it (`If-Match`, ETag)."""
    work.primary = entity.aggregate.stream_id(entity_id)
    return work.born(entity.aggregate, entity_id).state


async def take(work: Work, entity: Entity[S], entity_id: str) -> S:
    """The state of an entity that exists; the command is about it. Refuses `not_found` (missing)."""
    work.primary = entity.aggregate.stream_id(entity_id)
    return (await work.state(entity.aggregate, entity_id, must_exist=True)).state


async def find(work: Work, entity: Entity[S], system: str, external_id: str) -> str | None:
    """The id of the entity that has this external id; None: nobody has. Either way asserted at append."""
    return (await work.state(entity.claims, f"{system}:{external_id}")).state.entity_id


async def resolve(work: Work, entity: Entity[S], reference: Reference, field: str) -> str:
    """The id of an entity that exists. Refuses `unknown_<kind>` (input), naming the `field`."""
    if reference.id is not None:
        entity_id: str | None = str(reference.id)
    else:
        entity_id = await find(work, entity, str(reference.system), str(reference.external_id))
    if entity_id is None or not (await work.state(entity.aggregate, entity_id)).exists:
        message = f"there is no {entity.kind} {reference}"
        raise refuse(f"unknown_{entity.kind}", message, field=field, kind="input")
    return entity_id


async def above(
    work: Work, entity: Entity[S], parent_of: Callable[[S], str | None], parent_id: str | None, most: int
) -> list[str]:
    """`parent_id` and the ids above it, at most `most`. Each is asserted at append, so that two moves at once
    cannot close a circle."""
    chain: list[str] = []
    while parent_id is not None and len(chain) < most:
        chain.append(parent_id)
        parent_id = parent_of((await work.state(entity.aggregate, parent_id)).state)
    return chain


async def claim(work: Work, entity: Entity[S], entity_id: str, system: str, external_id: str, field: str) -> None:
    """Make it this entity's. Refuses `external_id_taken`."""
    key = f"{system}:{external_id}"
    state = (await work.state(entity.claims, key)).state
    what = f"{field} {external_id!r}" if field != "external_id" else f"{external_id!r} in {system}"
    work.append(entity.claims, key, *decide_claim(state, entity_id, what, field))


async def release(work: Work, entity: Entity[S], entity_id: str, system: str, external_id: str) -> None:
    key = f"{system}:{external_id}"
    state = (await work.state(entity.claims, key)).state
    work.append(entity.claims, key, *decide_release(state, entity_id))


async def reclaim(
    work: Work, entity: Entity[S], entity_id: str, system: str, former: str | None, now: str | None, field: str
) -> None:
    """A built-in external id (company code, login) changed from `former` to `now`."""
    if former == now:
        return
    if now is not None:
        await claim(work, entity, entity_id, system, now, field)
    if former is not None:
        await release(work, entity, entity_id, system, former)


async def link_external_id(work: Work, entity: Entity[S], entity_id: str, command: LinkExternalId) -> None:
    """Refuses `not_found`, `reserved_system`, `other_external_id`, `external_id_taken`."""
    known = (await take(work, entity, entity_id)).external_ids
    if not link(known, command.system, command.external_id, replace=command.replace):
        return
    linked = entity.linked(system=command.system, external_id=command.external_id)
    work.append(entity.aggregate, entity_id, linked)
    await claim(work, entity, entity_id, command.system, command.external_id, "external_id")
    if command.system in known:
        await release(work, entity, entity_id, command.system, known[command.system])


async def link_new(work: Work, entity: Entity[S], entity_id: str, system: str, external_id: str) -> None:
    """The id under which a new entity came to us."""
    await link_external_id(work, entity, entity_id, LinkExternalId(system=system, external_id=external_id))
