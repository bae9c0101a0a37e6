"""Names of what is only known by its id, in the caller's language."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.projections.organisation import account, person, product, team
from shared.web.language import Language

_ID = {
    "account": account.c.account_id,
    "owner": person.c.person_id,
    "team": team.c.team_id,
    "product": product.c.product_id,
}


class Named(BaseModel):
    """Something by its id and its name; the name is null while nothing but the id is known here."""

    id: str
    name: str | None


@dataclass(frozen=True, slots=True)
class NamesOf:
    """Names by kind (`account`, `owner`, `team`, `product`) and id."""

    found: Mapping[tuple[str, str], str]

    def one(self, kind: str, entity_id: str | None) -> Named | None:
        return None if entity_id is None else Named(id=entity_id, name=self.found.get((kind, entity_id)))


async def names_of(connection: AsyncConnection, language: Language, ids: Mapping[str, Iterable[Any]]) -> NamesOf:
    """One question per kind; None among the ids is passed over."""
    found: dict[tuple[str, str], str] = {}
    for kind, wanted in ids.items():
        column = _ID[kind]
        asked = sorted({str(one) for one in wanted if one is not None})
        if asked:
            table = column.table
            statement = select(column.label("id"), table.c.name, table.c["names"]).where(column.in_(asked))
            for row in (await connection.execute(statement)).mappings():
                found[kind, row["id"]] = name_in(row, language)
    return NamesOf(found)


def name_in(row: Mapping[str, Any] | RowMapping, language: Language) -> str:
    """The name in the language; `name` is what it is called by everybody else."""
    names: Mapping[str, str] = row["names"] or {}
    return str(names.get(language) or row["name"])
