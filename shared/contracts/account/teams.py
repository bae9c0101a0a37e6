"""What happens to a team: stream `team-<id>`.

Teams form trees. Who belonged to one, and who led it, are periods of business time: each begins and ends at
the `occurred_at` of its events, in whatever order they become known.
"""

from pydantic import Field

from shared.contracts.account.contract import CONTRACT, EntityId, Names
from shared.contracts.event import Event


@CONTRACT.event("account.team_formed")
class TeamFormed(Event):
    name: str = Field(examples=["华东区"])
    names: Names = Field(default_factory=dict)
    parent_team_id: EntityId | None = None


@CONTRACT.event("account.team_renamed")
class TeamRenamed(Event):
    """It is called so from now on; `names` are all of them."""

    name: str
    names: Names = Field(default_factory=dict)


@CONTRACT.event("account.team_moved")
class TeamMoved(Event):
    """It belongs to another team now, or, without `parent_team_id`, to none."""

    parent_team_id: EntityId | None = None


@CONTRACT.event("account.manager_appointed")
class ManagerAppointed(Event):
    """The person leads the team from `occurred_at` on; who led it before does so no more."""

    person_id: EntityId


@CONTRACT.event("account.manager_relieved")
class ManagerRelieved(Event):
    """The person leads the team no more; nobody does until the next one is appointed."""

    person_id: EntityId


@CONTRACT.event("account.team_member_joined")
class TeamMemberJoined(Event):
    person_id: EntityId


@CONTRACT.event("account.team_member_left")
class TeamMemberLeft(Event):
    person_id: EntityId


@CONTRACT.event("account.team_external_id_linked")
class TeamExternalIdLinked(Event):
    system: str = Field(examples=["crm"])
    external_id: str = Field(examples=["Dustin Brinkmann"])
