"""What is abnormal about people, by all of their opportunities: those that pile up in one stage, and nothing new.

Whose they were at the moment counts, as the spans have it; who may not see a person does not see what is told of them.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    Subquery,
    Text,
    and_,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import UUID

from services.opportunity.domain.anomalies.limits import AnomalyLimits
from services.opportunity.domain.anomalies.opportunity import PERSON_ANOMALIES, AnomalyCode
from services.opportunity.projections.organisation import membership, person
from services.opportunity.projections.processes import definition
from services.opportunity.projections.timeline import span
from services.opportunity.queries.moment import FOREVER, OPEN, holds, known, of_definition, working_stage
from services.opportunity.queries.priority import day_of, morning
from services.opportunity.queries.view import Filters, View, among, visible


def of_people(view: View, limits: AnomalyLimits, codes: Sequence[AnomalyCode]) -> Sequence[Select[Any]]:
    """A question for each of the codes (none: all) that is about people."""
    filters = view.filters
    if filters != Filters(owner=filters.owner, team=filters.team):
        return []
    questions = {"piled_up": _piled_up, "nothing_new": _nothing_new}
    return [questions[code](view, limits) for code in PERSON_ANOMALIES if not codes or code in codes]


def _piled_up(view: View, limits: AnomalyLimits) -> Select[Any]:
    piled = _piles(view, limits).cte("piled")
    since = _piled_since(view, limits, piled)
    return _row(
        "piled_up",
        piled.c.owner_id,
        since.c.since,
        piled.c.value,
        limits.pile_up_count,
        process=piled.c.process,
        process_version=piled.c.process_version,
        stage=piled.c.stage,
    ).select_from(piled.join(since, since.c.pile == piled.c.pile))


def _piles(view: View, limits: AnomalyLimits) -> Select[Any]:
    """Owners and stages in which at least so many, and such a share, of an owner's open opportunities stand."""
    stage = working_stage(span)
    standing = (
        select(
            span.c.owner_id,
            span.c.process,
            stage.label("stage"),
            func.max(span.c.process_version).label("process_version"),
            func.count().label("value"),
            func.sum(func.count()).over(partition_by=span.c.owner_id).label("total"),
        )
        .select_from(span.outerjoin(definition, of_definition(span)))
        .where(
            holds(span, view.as_of, view.known_at),
            span.c.outcome == "open",
            visible(view.scope),
            *_people(view, span.c.owner_id),
        )
        .group_by(span.c.owner_id, span.c.process, stage)
        .subquery("standing_by_stage")
    )
    number = func.row_number().over(order_by=(standing.c.owner_id, standing.c.process, standing.c.stage))
    return select(standing, number.label("pile")).where(_is_pile(limits, standing.c.value, standing.c.total))


def _is_pile(limits: AnomalyLimits, count: ColumnElement[Any], total: ColumnElement[Any]) -> ColumnElement[bool]:
    return and_(count >= limits.pile_up_count, 100 * count >= limits.pile_up_share * total)


def _piled_since(view: View, limits: AnomalyLimits, piled: CTE) -> Subquery:
    """Since when it has been a pile without interruption: the moment after the last one at which it was none."""
    life = (
        select(span.c.owner_id, span.c.process, working_stage(span).label("stage"), span.c.valid_from, span.c.valid_to)
        .select_from(span.outerjoin(definition, of_definition(span)))
        .where(
            known(span, view.known_at),
            span.c.outcome == "open",
            span.c.owner_id.in_(select(piled.c.owner_id)),
            visible(view.scope),
            *([] if view.as_of is None else [span.c.valid_from <= view.as_of]),
        )
        .cte("owned")
    )
    over = life.c.valid_to < FOREVER if view.as_of is None else life.c.valid_to <= view.as_of
    names = (life.c.owner_id, life.c.process, life.c.stage)
    steps = union_all(
        select(*names, life.c.valid_from.label("at"), literal(1).label("change")),
        select(*names, life.c.valid_to.label("at"), literal(-1).label("change")).where(over),
    ).subquery("steps")
    # Most spans end where the next one of the same opportunity begins in the same place: no move at all.
    change = cast(func.sum(steps.c.change), Integer)
    moved = [steps.c[name] for name in ("owner_id", "process", "stage", "at")]
    moves = select(*moved, change.label("change")).group_by(*moved).having(change != 0).subquery("moves")
    here = and_(moves.c.process == piled.c.process, moves.c.stage == piled.c.stage)
    changes = (
        select(
            piled.c.pile,
            moves.c.at,
            cast(func.sum(moves.c.change), Integer).label("total"),
            cast(func.coalesce(func.sum(moves.c.change).filter(here), 0), Integer).label("count"),
        )
        .select_from(piled.join(moves, moves.c.owner_id == piled.c.owner_id))
        .group_by(piled.c.pile, moves.c.at)
        .subquery("changes")
    )

    def so_far(figure: Any) -> ColumnElement[Any]:
        running: ColumnElement[Any] = figure.over(partition_by=changes.c.pile, order_by=changes.c.at)
        return running

    counted = select(
        changes.c.pile,
        changes.c.at,
        so_far(func.sum(changes.c["count"])).label("count"),
        so_far(func.sum(changes.c.total)).label("total"),
        so_far(func.lead(changes.c.at)).label("next_at"),
    ).subquery("counted")
    is_pile = _is_pile(limits, counted.c["count"], counted.c.total)
    began = func.coalesce(func.max(counted.c.next_at).filter(~is_pile), func.min(counted.c.at))
    return select(counted.c.pile, began.label("since")).group_by(counted.c.pile).subquery("piled_since")


def _nothing_new(view: View, limits: AnomalyLimits) -> Select[Any]:
    """People who are to open opportunities, and have opened none for too long.

    These are: whoever has some; who had some and is in a team; and who never had any, but is a member of a team that sells, which
    is one to which an opportunity belongs or belonged, or one of whose people owns or owned one. Whoever only leads a team, or is
    in one that sells nothing, or in none, owes nobody a new opportunity. It counts from the newest one on; of who was only ever
    handed some, from the first of these on; of who never had any, from the day on which they joined.
    """
    newest = func.max(span.c.opened_at).filter(span.c.valid_from == span.c.opened_at)
    stands = and_(holds(span, view.as_of, view.known_at), span.c.outcome.in_(OPEN))
    owners = (
        select(
            span.c.owner_id,
            func.coalesce(newest, func.min(span.c.valid_from)).label("newest"),
            func.bool_or(stands).label("busy"),
        )
        .where(
            known(span, view.known_at),
            *([] if view.as_of is None else [span.c.valid_from <= view.as_of]),
            *_people(view, span.c.owner_id),
        )
        .group_by(span.c.owner_id)
        .cte("owners")
    )
    people = union_all(
        select(owners.c.owner_id, owners.c.newest).where(or_(owners.c.busy, owners.c.owner_id.in_(_members(view)))),
        _sellers(view).where(_seller.c.person_id.not_in(select(owners.c.owner_id))),
    ).subquery("people")
    zone = view.calendar.time_zone
    last = day_of(people.c.newest, zone)
    since = morning(last + limits.nothing_new_days + 1, zone)
    value = literal(view.today) - last
    present = func.coalesce(person.c.active, True) if view.latest else literal(True)
    row = _row("nothing_new", people.c.owner_id, since, value, limits.nothing_new_days)
    source = people.outerjoin(person, person.c.person_id == people.c.owner_id)
    return row.select_from(source).where(since <= view.at, present)


_seller = membership.alias("seller")


def _sellers(view: View) -> Select[Any]:
    """The members of teams that sell, and since when they are."""
    by_then = [known(span, view.known_at), *([] if view.as_of is None else [span.c.valid_from <= view.as_of])]
    owning = membership.alias("owning")
    its = select(span.c.team_id).where(*by_then, span.c.team_id.is_not(None))
    owned = select(owning.c.team_id).join(span, span.c.owner_id == owning.c.person_id)
    sells = its.union(owned.where(*by_then, owning.c.valid_from <= view.at))
    return (
        select(_seller.c.person_id.label("owner_id"), func.min(_seller.c.valid_from).label("newest"))
        .where(
            _seller.c.role == "member",
            _seller.c.valid_from <= view.at,
            _seller.c.valid_to > view.at,
            _seller.c.team_id.in_(sells),
            *_people(view, _seller.c.person_id),
        )
        .group_by(_seller.c.person_id)
    )


def _people(view: View, owner: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """Whom the caller sees and asks for."""
    found: list[ColumnElement[bool]] = [owner.is_not(None)]
    if not view.scope.everything:
        found.append(owner.in_(sorted(view.scope.people)))
    if view.filters.owner:
        found.append(among(owner, view.filters.owner))
    if view.filters.team:
        teams = [team for team in view.filters.team if team is not None]
        parts = [owner.in_(_members(view).where(membership.c.team_id.in_(teams)))] if teams else []
        found.append(or_(*parts, owner.not_in(_members(view))) if None in view.filters.team else or_(*parts))
    return found


def _members(view: View) -> Select[Any]:
    """Who belonged to a team at the moment."""
    return select(membership.c.person_id).where(membership.c.valid_from <= view.at, membership.c.valid_to > view.at)


def _row(
    code: str,
    owner: ColumnElement[Any],
    since: ColumnElement[Any],
    value: ColumnElement[Any],
    limit: int,
    **stage: ColumnElement[Any],
) -> Select[Any]:
    """With the columns of the other anomalies, in their order."""
    place = [cast(stage[name], Text) for name in ("process", "stage") if name in stage]
    about = func.concat_ws("/", cast(owner, Text), *place)
    return select(
        literal(code, Text).collate("C").label("code"),
        about.collate("C").label("about"),
        cast(null(), UUID(as_uuid=False)).label("opportunity_id"),
        cast(null(), Text).label("name"),
        owner.label("owner_id"),
        cast(null(), UUID(as_uuid=False)).label("team_id"),
        cast(null(), UUID(as_uuid=False)).label("account_id"),
        stage.get("process", cast(null(), String(60))).label("process"),
        stage.get("process_version", cast(null(), Integer)).label("process_version"),
        stage.get("stage", cast(null(), Integer)).label("stage"),
        cast(null(), BigInteger).label("amount_minor"),
        cast(null(), String(3)).label("currency"),
        since.label("since"),
        cast(value, Integer).label("value"),
        cast(literal(limit), Integer).label("limit"),
    )
