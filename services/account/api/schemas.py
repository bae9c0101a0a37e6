"""What this service answers: accounts, people, teams and products as they are."""

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from services.account.domain.periods import FOREVER
from shared.kit.money import Money
from shared.web.commanding import CommandAnswer
from shared.web.language import Language
from shared.web.paging import Page

T = TypeVar("T")
ID = "0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d"


class Listed(Page[T], Generic[T]):
    """`total`: rows of all pages together."""

    total: int = Field(examples=[85])


class Named(BaseModel):
    """`label`: the name in the caller's language (`Accept-Language`), `name` where there is none."""

    id: str = Field(examples=[ID])
    name: str = Field(examples=["华东电网"])
    label: str = Field(examples=["Huadong Power Grid"])


class Entity(Named):
    version: int = Field(examples=[3])
    names: dict[str, str] = Field(examples=[{"en": "Huadong Power Grid", "zh": "华东电网"}])
    external_ids: dict[str, str] = Field(examples=[{"crm": "Huadong Power Grid Co"}])
    updated_at: datetime


class Account(Entity):
    industry: str | None = Field(examples=["power"])
    unified_social_credit_code: str | None = Field(examples=["91330100799655058B"])
    attributes: dict[str, str] = Field(examples=[{"employees": "4821"}])
    parent_id: str | None
    flags: list[str]
    registered_at: datetime


class AccountPage(Account):
    """`above`: from the top of its tree down to its parent. `children`: how many are right below."""

    above: list[Named]
    children: int


class AccountInTree(Account):
    """`depth` 0 is the account that was asked for."""

    depth: int


class Person(Entity):
    """`active`: with us now."""

    email: str | None
    subject: str | None = Field(examples=["wang.fang"])
    active: bool
    joined_at: datetime
    left_at: datetime | None


class Membership(Named):
    """A team and what the person is in it. `role`: `member` or `manager`."""

    role: str = Field(examples=["member"])
    since: datetime


class PersonPage(Person):
    teams: list[Membership]


class Me(BaseModel):
    """`person`: null for a login that belongs to none of our people."""

    subject: str
    roles: list[str]
    person: Person | None
    teams: list[Membership]


class InRole(Named):
    """`until`: null while there is no end."""

    since: datetime
    until: datetime | None


class Team(Entity):
    parent_team_id: str | None
    formed_at: datetime


class TeamInTree(Team):
    depth: int


class TeamPage(Team):
    """`members`: the first 200 by name, of `member_count`; all of them are at `/teams/{id}/members`."""

    above: list[Named]
    children: int
    manager: InRole | None
    members: list[InRole]
    member_count: int


class Product(Entity):
    series: str | None = Field(examples=["GTX"])
    list_price: Money | None
    retired: bool
    listed_at: datetime


class KeySecret(BaseModel):
    """`number` counts the secrets of a key from 1. `until`: of an older one; null for the newest, which lasts as long as the key.
    `last_used_at`: in this service, up to a minute late; null: never."""

    number: int = Field(examples=[2])
    until: datetime | None
    good: bool
    last_used_at: datetime | None


class ApiKey(BaseModel):
    """`state`: `active`, `expired` or `revoked`. `last_used_at`: in this service, whichever secret was shown; every service tells
    its own at `/api-key-uses`. `labels`: state, roles and scopes in the caller's language."""

    id: str = Field(examples=[ID])
    version: int = Field(examples=[1])
    name: str = Field(examples=["ERP nightly import"])
    subject: str = Field(examples=[f"api-key:{ID}"], description="The actor of what it does.")
    state: str = Field(examples=["active"])
    roles: list[str] = Field(examples=[["integration"]])
    scopes: list[str] = Field(examples=[["account:read", "account:write"]])
    issued_at: datetime
    issued_by: str = Field(examples=["operator"])
    rotated_at: datetime | None
    expires_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None
    revoked_reason: str | None
    last_used_at: datetime | None
    secrets: list[KeySecret] = Field(description="The secrets that it has and lately had, the newest last.")
    labels: dict[str, str] = Field(examples=[{"active": "Active", "integration": "Integration"}])


class KeyAnswer(CommandAnswer):
    """`key` is shown this once and kept nowhere: null in a dry run, and where the Idempotency-Key gets its first answer again."""

    key: str | None = Field(examples=["kf_…"])
    note: str = Field(examples=["Keep this key now: it is shown once and kept nowhere."])


def labelled(row: RowMapping, language: Language) -> dict[str, Any]:
    """A row with its `label`."""
    return {**row, "label": row["names"].get(language) or row["name"]}


def named(row: RowMapping, language: Language) -> Named:
    return Named.model_validate(labelled(row, language))


def person_of(row: RowMapping, language: Language, now: datetime) -> dict[str, Any]:
    return labelled(row, language) | {"active": row["left_at"] is None or row["left_at"] > now}


def in_role(row: RowMapping, language: Language) -> InRole:
    until = None if row["until"] == FOREVER else row["until"]
    return InRole.model_validate(labelled(row, language) | {"until": until})


def product_of(row: RowMapping, language: Language) -> Product:
    minor, currency = row["list_price_minor"], row["list_price_currency"]
    price = None if minor is None else {"minor": minor, "currency": currency}
    return Product.model_validate(labelled(row, language) | {"list_price": price})
