"""Groups that figures stand under: their codes and labels, and the filter of the list that shows exactly their rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy import RowMapping, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity import labels
from services.opportunity.api.names import NamesOf, names_of
from services.opportunity.labels import word
from services.opportunity.projections.processes import definition
from services.opportunity.queries.funnel import CLOSE_PERIODS, GroupBy
from shared.contracts.opportunity import ProcessDefined
from shared.web.language import Language, label

FILTER_OF: Mapping[GroupBy, str] = {
    "state": "state",
    "stage": "stage",
    "synchrony": "synchrony",
    "owner": "owner",
    "team": "team",
    "account": "only_account",
    "process": "process",
    "outcome": "outcome",
}
_NOBODY: Mapping[GroupBy, tuple[str, str]] = {
    "owner": ("Nobody", "无负责人"),
    "team": ("No team", "无团队"),
    "account": ("No account", "无客户"),
    **dict.fromkeys(CLOSE_PERIODS, ("No close date", "无预计成交日期")),
}


def narrowed_to(at: Mapping[GroupBy, Any]) -> dict[str, Any]:
    """The filters of the list that shows exactly a group's rows. Periods narrow one another, and what is asked for by `closing`, so
    they have a filter of their own."""
    found: dict[str, Any] = {FILTER_OF[name]: value for name, value in at.items() if name in FILTER_OF}
    closes = ["none" if value is None else value for name, value in at.items() if name in CLOSE_PERIODS]
    return found | ({"closes_in": closes} if closes else {})


class Group(BaseModel):
    """`value` is what the filter of the list takes (`none`: those that have none); `label` in the caller's language."""

    value: str | int
    label: str


@dataclass(frozen=True, slots=True)
class Labeller:
    """`latest`: the latest version of each process."""

    language: Language
    names: NamesOf
    latest: Mapping[str, ProcessDefined]

    def group(self, by: GroupBy, value: Any, process: str | None) -> Group:
        """`process` is that of a stage."""
        if value is None:
            return Group(value="none", label=_NOBODY[by][0 if self.language == "en" else 1])
        match by:
            case "stage":
                return Group(value=value, label=self._stage(value, process))
            case "process":
                defined = self.latest.get(value)
                return Group(value=value, label=label(defined.names, self.language, value) if defined else value)
            case "state":
                return Group(value=value, label=word(labels.FUNNEL_STATES, value, self.language))
            case "synchrony":
                return Group(value=value, label=word(labels.SYNCHRONY, value, self.language))
            case "outcome":
                return Group(value=value, label=word(labels.OUTCOMES, value, self.language))
            case "close_month" | "close_quarter" | "close_year":
                return Group(value=value, label=value)
        named = self.names.one(by, value)
        return Group(value=value, label=(named.name if named else None) or value)

    def _stage(self, number: int, process: str | None) -> str:
        defined = self.latest.get(process or "")
        if defined is None or number > len(defined.selling):
            return str(number)
        stage = defined.selling[number - 1]
        return label(stage.names, self.language, stage.code)


async def labeller(
    connection: AsyncConnection, language: Language, rows: Sequence[RowMapping | Mapping[str, Any]]
) -> Labeller:
    """For rows that have some of the groups as columns."""
    ids = {kind: [row[kind] for row in rows if kind in row] for kind in ("owner", "team", "account")}
    return Labeller(language, await names_of(connection, language, ids), await latest_processes(connection))


async def latest_processes(connection: AsyncConnection) -> dict[str, ProcessDefined]:
    other = definition.alias("other")
    last = select(func.max(other.c.version)).where(other.c.key == definition.c.key).scalar_subquery()
    found = await connection.execute(select(definition.c.process).where(definition.c.version == last))
    defined = [ProcessDefined.model_validate(process) for process in found.scalars()]
    return {process.key: process for process in sorted(defined, key=lambda one: one.key)}
