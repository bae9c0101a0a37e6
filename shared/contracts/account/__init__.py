"""The account service's language: accounts in their trees, our people and teams, our products, API keys."""

from shared.contracts.account.accounts import (
    AccountDetailsChanged,
    AccountExternalIdLinked,
    AccountFlagged,
    AccountMoved,
    AccountRegistered,
    AccountRenamed,
)
from shared.contracts.account.api_keys import ApiKeyIssued, ApiKeyRevoked, ApiKeyRotated
from shared.contracts.account.claims import ExternalIdClaimed, ExternalIdReleased
from shared.contracts.account.contract import CONTRACT
from shared.contracts.account.people import (
    PersonChanged,
    PersonExternalIdLinked,
    PersonJoined,
    PersonLeft,
    PersonReturned,
)
from shared.contracts.account.products import (
    ProductChanged,
    ProductExternalIdLinked,
    ProductListed,
    ProductRelisted,
    ProductRetired,
)
from shared.contracts.account.teams import (
    ManagerAppointed,
    ManagerRelieved,
    TeamExternalIdLinked,
    TeamFormed,
    TeamMemberJoined,
    TeamMemberLeft,
    TeamMoved,
    TeamRenamed,
)

__all__ = [
    "CONTRACT",
    "AccountDetailsChanged",
    "AccountExternalIdLinked",
    "AccountFlagged",
    "AccountMoved",
    "AccountRegistered",
    "AccountRenamed",
    "ApiKeyIssued",
    "ApiKeyRevoked",
    "ApiKeyRotated",
    "ExternalIdClaimed",
    "ExternalIdReleased",
    "ManagerAppointed",
    "ManagerRelieved",
    "PersonChanged",
    "PersonExternalIdLinked",
    "PersonJoined",
    "PersonLeft",
    "PersonReturned",
    "ProductChanged",
    "ProductExternalIdLinked",
    "ProductListed",
    "ProductRelisted",
    "ProductRetired",
    "TeamExternalIdLinked",
    "TeamFormed",
    "TeamMemberJoined",
    "TeamMemberLeft",
    "TeamMoved",
    "TeamRenamed",
]
