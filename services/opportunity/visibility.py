"""Whose opportunities somebody may see and change: one's own, those of one's teams, and all below the teams that one leads."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.commands import May
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.projections.organisation import person
from services.opportunity.queries.scope import scope_of
from shared.contracts.refusal import RefusedError, refuse
from shared.service.visibility import NOTHING, Scope


async def find(connection: AsyncConnection, subject: str, now: datetime) -> Scope:
    """The scope of the person who logs in as `subject`; NOTHING for a stranger and for somebody who has left.

    Who leads which team stands in the teams, not in the token: the role `manager` alone shows nothing more.
    """
    known = select(person.c.person_id).where(person.c.subject == subject, person.c.active).order_by(person.c.person_id)
    person_id = await connection.scalar(known.limit(1))
    return NOTHING if person_id is None else replace(await scope_of(connection, person_id, now), person_id=person_id)


def within(scope: Scope) -> May:
    """May somebody with this scope act on the opportunity as it is (a new one: as it would be)?"""

    def may(state: OpportunityState) -> None:
        if not scope.covers(state.owner_id, state.team_id):
            raise not_yours()

    return may


def not_yours() -> RefusedError:
    return refuse(
        "not_yours",
        "the opportunity belongs neither to you, nor to a team of yours, nor to anybody below a team that you lead",
        expected="its owner, or a manager above, can do this",
        kind="forbidden",
    )
