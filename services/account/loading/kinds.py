"""What can be loaded as a table, and what each column means.

A column that is not there leaves its field as it is; an empty cell takes it away. `names.en` is a name in a language,
`attributes.employees` an attribute. Lists are divided by semicolons. `parent`, `manager` and `members` hold ids of the
system that the load names; `parent.id` and `manager.id` hold ours.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.account.commands import (
    form_team,
    join_person,
    list_product,
    register_account,
    upsert_account,
    upsert_person,
    upsert_product,
    upsert_team,
)
from services.account.domain.account import AccountInput
from services.account.domain.person import PersonInput
from services.account.domain.product import ProductInput
from services.account.domain.team import TeamInput
from services.account.domain.values import Command
from services.account.entities import ACCOUNT, PERSON, PRODUCT, TEAM, Entity
from shared.contracts.refusal import refuse
from shared.eventstore.commands import Work
from shared.kit.money import Money


@dataclass(frozen=True)
class Loadable:
    """`families`: fields that are a column for each key. `refers`: fields with one reference, `refers_many` with several."""

    path: str
    entity: Entity[Any]
    model: type[Command]
    create: Callable[[Work, Any], Awaitable[str]]
    upsert: Callable[[Work, str, str, Any], Awaitable[str]]
    texts: tuple[str, ...]
    example: str
    families: tuple[str, ...] = ("names",)
    lists: tuple[str, ...] = ()
    refers: tuple[str, ...] = ()
    refers_many: tuple[str, ...] = ()
    priced: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column, with `<family>.*` for the families."""
        references = [name for field in self.refers for name in (field, f"{field}.id")]
        prices = ["list_price", "currency"] if self.priced else []
        families = [f"{family}.*" for family in self.families]
        fields = ["name", *self.texts, *families, *self.lists, *references, *self.refers_many, *prices]
        return ("external_id", *fields, "occurred_at")

    def check(self, columns: tuple[str, ...], system: str | None) -> None:
        """Raises RefusedError (input): `unknown_column`, `missing_column`, `system_missing`."""
        allowed = ", ".join(self.columns)
        for place, name in enumerate(columns, 1):
            family, dot, key = name.partition(".")
            if name not in self.columns and not (dot and key and family in self.families):
                message = f"line 1, column {place}: nothing is called {name[:100]!r}"
                raise refuse("unknown_column", message, field=name[:100], expected=allowed, kind="input")
            if system is None and name in ("external_id", *self.refers, *self.refers_many):
                message = f"line 1, column {place}: {name} holds ids of another system, and none is named"
                raise refuse("system_missing", message, field="system", expected="such as ?system=crm", kind="input")
        needed = ("name",) if system is None else ("external_id", "name")
        for name in needed:
            if name not in columns:
                message = f"line 1: the column {name} is missing"
                raise refuse(
                    "missing_column", message, field=name, expected=f"at least {', '.join(needed)}", kind="input"
                )

    def fields(self, cells: Mapping[str, str], system: str | None) -> dict[str, Any]:
        """What a row says, in the form of its command. Raises ValueError with the column and what is wrong with its price."""
        said: dict[str, Any] = {}
        for column, cell in cells.items():
            text = cell.strip()
            field, dot, key = column.partition(".")
            if column == "name":
                said[column] = text
            elif column in self.texts or column == "occurred_at":
                said[column] = text or None
            elif dot and field in self.families:
                said.setdefault(field, {}).update({key: text} if text else {})
            elif column in self.lists:
                said[column] = _divided(cell)
            elif field in self.refers:
                said[field] = said.get(field) or {}
                if text:
                    said[field] |= {"id": text} if dot else _reference(system, text)
            elif column in self.refers_many:
                said[column] = [_reference(system, one) for one in _divided(cell)]
        for field in self.refers:
            if field in said:
                said[field] = said[field] or None
        if "list_price" in cells:
            said["list_price"] = _price(cells["list_price"].strip(), cells.get("currency", "").strip())
        return said


def _divided(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _reference(system: str | None, external_id: str) -> dict[str, str | None]:
    return {"system": system, "external_id": external_id}


def _price(text: str, currency: str) -> Money | None:
    if not text:
        return None
    return Money.parse(text, currency)


ACCOUNTS = Loadable(
    "accounts",
    ACCOUNT,
    AccountInput,
    register_account,
    upsert_account,
    texts=("industry", "unified_social_credit_code"),
    families=("names", "attributes"),
    lists=("flags",),
    refers=("parent",),
    example="external_id,name,names.en,industry,parent,attributes.employees\n"
    "A-1,华东电网,Huadong Power Grid,power,,4821\nA-2,华东电网上海分公司,,power,A-1,310\n",
)
PEOPLE = Loadable(
    "people",
    PERSON,
    PersonInput,
    join_person,
    upsert_person,
    texts=("email", "subject"),
    example="external_id,name,names.en,email,subject\nP-1,王芳,Wang Fang,wang.fang@example.com,wang.fang\n",
)
TEAMS = Loadable(
    "teams",
    TEAM,
    TeamInput,
    form_team,
    upsert_team,
    texts=(),
    refers=("parent", "manager"),
    refers_many=("members",),
    example="external_id,name,parent,manager,members\nT-1,华东区,,P-1,P-1;P-2\nT-2,上海,T-1,P-2,P-2\n",
)
PRODUCTS = Loadable(
    "products",
    PRODUCT,
    ProductInput,
    list_product,
    upsert_product,
    texts=("series",),
    priced=True,
    example="external_id,name,series,list_price,currency\nG-1,GTX Plus Basic,GTX,1054.00,USD\n",
)
LOADABLE = (ACCOUNTS, PEOPLE, TEAMS, PRODUCTS)
