"""Ids of accounts, people, teams and products that a command names: known here, or refused by name.

They are looked up in the service's own copy of the account service's facts. Whoever has just told the account service of
something sends the `Keyfold-Position` of that answer along: then the command waits until the copy shows it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from sqlalchemy import literal, select, union_all

from services.opportunity.domain.forecast.submission import SubmitForecast
from services.opportunity.domain.forecast.targets import SetTarget
from services.opportunity.domain.opportunity import terms
from services.opportunity.domain.opportunity.opening import OpenOpportunity
from services.opportunity.projections.organisation import account, organisation, person, product, team
from shared.contracts.refusal import Reason, RefusedError
from shared.service.backend import Backend
from shared.web.commanding import POSITION, backend_of

Kind = Literal["account", "owner", "team", "product"]
_ID = {
    "account": account.c.account_id,
    "owner": person.c.person_id,
    "team": team.c.team_id,
    "product": product.c.product_id,
}


@dataclass(frozen=True, slots=True)
class Reference:
    """`field`: where the command names it."""

    kind: Kind
    id: str
    field: str


@dataclass(frozen=True, slots=True)
class Known:
    """Those of the ids asked about that exist here."""

    ids: frozenset[tuple[str, str]] = field(default=frozenset())

    def check(self, commands: Sequence[Any], prefix: str = "") -> None:
        """Raises RefusedError (kind input) that names every id which nobody has told of."""
        named = references(commands, prefix)
        reasons = [_unknown(one) for one in named if (one.kind, one.id) not in self.ids]
        if reasons:
            raise RefusedError(tuple(reasons), "input")


@dataclass(frozen=True, slots=True)
class Organisation:
    """The service's copy of who and what, at least as far as the caller has seen it."""

    backend: Backend

    async def known(self, commands: Sequence[Any]) -> Known:
        """What the commands name and is known; no question to the database when they name nothing."""
        named = {(one.kind, one.id) for one in references(commands)}
        if not named:
            return Known()
        parts = []
        for kind, column in _ID.items():
            ids = sorted(one for of, one in named if of == kind)
            if ids:
                parts.append(select(literal(kind).label("kind"), column.label("id")).where(column.in_(ids)))
        async with self.backend.reads.connect(organisation) as connection:
            rows = (await connection.execute(union_all(*parts))).all()
        return Known(frozenset((row.kind, str(row.id)) for row in rows))


async def _organisation(request: Request) -> Organisation:
    """For routes that take a `Commanding`: the scope of its caller is found in the same copy, after it shows what the caller's
    position names."""
    return Organisation(await backend_of(request))


OrganisationNow = Annotated[Organisation, Depends(_organisation)]


def references(commands: Sequence[Any], prefix: str = "") -> Iterator[Reference]:
    """Every id of something else in the commands; with several, fields are `<prefix>.<index>.<field>`."""
    for index, command in enumerate(commands):
        yield from _named(command, f"{prefix}.{index}." if prefix else "")


def _named(command: Any, at: str) -> Iterator[Reference]:
    match command:
        case terms.AssignAccount(account_id=str(named)):
            yield Reference("account", named, f"{at}account_id")
        case terms.AssignOwner(owner_id=str(named)):
            yield Reference("owner", named, f"{at}owner_id")
        case terms.AssignTeam(team_id=str(named)):
            yield Reference("team", named, f"{at}team_id")
        case SetTarget(holder_kind="person", holder_id=str(named)):
            yield Reference("owner", named, f"{at}holder_id")
        case SetTarget(holder_kind="team", holder_id=str(named)):
            yield Reference("team", named, f"{at}holder_id")
        case SubmitForecast():
            if command.person_id is not None:
                yield Reference("owner", command.person_id, f"{at}person_id")
            if command.team_id is not None:
                yield Reference("team", command.team_id, f"{at}team_id")
        case terms.AgreeLineItems():
            yield from _lines(command.line_items, at)
        case OpenOpportunity():
            fields: tuple[tuple[Kind, str | None], ...] = (
                ("account", command.account_id),
                ("owner", command.owner_id),
                ("team", command.team_id),
            )
            for kind, given in fields:
                if given is not None:
                    yield Reference(kind, given, f"{at}{kind}_id")
            yield from _lines(command.line_items, at)


def _lines(items: Sequence[Any], at: str) -> Iterator[Reference]:
    for index, item in enumerate(items):
        yield Reference("product", item.product_id, f"{at}line_items.{index}.product_id")


def _unknown(one: Reference) -> Reason:
    what = "person" if one.kind == "owner" else one.kind
    return Reason(
        f"unknown_{one.kind}",
        f"there is no {what} {one.id}",
        one.field,
        f"an id that the account service gave; right after its answer, send that answer's {POSITION} along",
    )
