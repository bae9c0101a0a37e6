"""Who an external id belongs to: streams `account_external-<system>:<id>`, and the same for person, team, product.

The stream's version, asserted at append, is what makes an external id unique.

Two systems are built in: `uscc`, an account's unified social credit code (统一社会信用代码), and `login`, the
subject by which a person logs in.
"""

from shared.contracts.account.contract import CONTRACT, EntityId
from shared.contracts.event import Event


@CONTRACT.event("account.external_id_claimed")
class ExternalIdClaimed(Event):
    """The id names this account, person, team or product from now on."""

    entity_id: EntityId


@CONTRACT.event("account.external_id_released")
class ExternalIdReleased(Event):
    """The id names it no more, and may be claimed by another."""

    entity_id: EntityId
