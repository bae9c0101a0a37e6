"""What happens to an account: stream `account-<id>`.

Accounts form trees (R7): group, subsidiaries, branches, sites.
"""

from pydantic import Field

from shared.contracts.account.contract import CONTRACT, EntityId, Names
from shared.contracts.event import Event


@CONTRACT.event("account.account_registered")
class AccountRegistered(Event):
    """We know of a customer. `parent_id`: the account above it; none: the top of its tree."""

    name: str = Field(examples=["华东电网"])
    names: Names = Field(default_factory=dict)
    industry: str | None = Field(default=None, examples=["power"])
    unified_social_credit_code: str | None = Field(default=None, examples=["91310000MA1FL1XY0H"])
    attributes: dict[str, str] = Field(default_factory=dict, examples=[{"employees": "4821"}])
    parent_id: EntityId | None = None


@CONTRACT.event("account.account_renamed")
class AccountRenamed(Event):
    """It is called so from now on; `names` are all of them, not only those that changed."""

    name: str
    names: Names = Field(default_factory=dict)


@CONTRACT.event("account.account_details_changed")
class AccountDetailsChanged(Event):
    """The details as they are now, complete: what is left out is no longer known."""

    industry: str | None = None
    unified_social_credit_code: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict)


@CONTRACT.event("account.account_moved")
class AccountMoved(Event):
    """It hangs under another account now, or, without `parent_id`, is the top of a tree of its own."""

    parent_id: EntityId | None = None


@CONTRACT.event("account.account_flagged")
class AccountFlagged(Event):
    """What is doubtful about it, for somebody to look at; complete: no flags, no doubts left."""

    flags: tuple[str, ...] = Field(examples=[["sector_spelling_mended"]])


@CONTRACT.event("account.account_external_id_linked")
class AccountExternalIdLinked(Event):
    """Another system knows this account under an id; one id per system."""

    system: str = Field(examples=["crm"])
    external_id: str = Field(examples=["Acme Corporation"])
