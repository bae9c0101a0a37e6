"""The four kinds of entity: their streams, and the streams of claims that make their external ids unique. Beside them, API keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from services.account.domain import account, api_key, external_ids, person, product, team
from services.account.domain.external_ids import UNCLAIMED, Claim
from shared.contracts.account import (
    AccountExternalIdLinked,
    PersonExternalIdLinked,
    ProductExternalIdLinked,
    TeamExternalIdLinked,
)
from shared.eventstore.aggregate import Aggregate

Linked = (
    type[AccountExternalIdLinked]
    | type[PersonExternalIdLinked]
    | type[TeamExternalIdLinked]
    | type[ProductExternalIdLinked]
)


class EntityState(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def external_ids(self) -> Mapping[str, str]: ...


S = TypeVar("S", bound=EntityState)


@dataclass(frozen=True, eq=False)
class Entity(Generic[S]):
    aggregate: Aggregate[S]
    claims: Aggregate[Claim]
    linked: Linked

    @property
    def kind(self) -> str:
        return self.aggregate.category


def _claims(kind: str) -> Aggregate[Claim]:
    return Aggregate(f"{kind}_external", UNCLAIMED, external_ids.evolve)


ACCOUNT = Entity(Aggregate("account", account.INITIAL, account.evolve), _claims("account"), AccountExternalIdLinked)
PERSON = Entity(Aggregate("person", person.INITIAL, person.evolve), _claims("person"), PersonExternalIdLinked)
TEAM = Entity(Aggregate("team", team.INITIAL, team.evolve), _claims("team"), TeamExternalIdLinked)
PRODUCT = Entity(Aggregate("product", product.INITIAL, product.evolve), _claims("product"), ProductExternalIdLinked)
API_KEY = Aggregate("api_key", api_key.INITIAL, api_key.evolve)
