"""What happens to one of our own people: stream `person-<id>`."""

from pydantic import Field

from shared.contracts.account.contract import CONTRACT, Names
from shared.contracts.event import Event


@CONTRACT.event("account.person_joined")
class PersonJoined(Event):
    """A person works for us from `occurred_at` on. `subject`: a bearer token naming it is theirs."""

    name: str = Field(examples=["王芳"])
    names: Names = Field(default_factory=dict)
    email: str | None = Field(default=None, examples=["wang.fang@example.com"])
    subject: str | None = Field(default=None, examples=["wang.fang"])


@CONTRACT.event("account.person_changed")
class PersonChanged(Event):
    """Name, address or login as they are now, complete: what is left out is no longer there."""

    name: str
    names: Names = Field(default_factory=dict)
    email: str | None = None
    subject: str | None = None


@CONTRACT.event("account.person_left")
class PersonLeft(Event):
    """The person works for us no more."""

    reason: str | None = None


@CONTRACT.event("account.person_returned")
class PersonReturned(Event):
    """A person who had left works for us again."""


@CONTRACT.event("account.person_external_id_linked")
class PersonExternalIdLinked(Event):
    system: str = Field(examples=["crm"])
    external_id: str = Field(examples=["Moses Frase"])
