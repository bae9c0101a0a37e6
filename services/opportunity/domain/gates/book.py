"""The book of gates: every version of every rule and of the authority matrix, and which of them are in force (R5)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import Field

from services.opportunity.domain.commands import Command
from services.opportunity.domain.gates.rule import faults_of, named
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import AuthorityDefined, GateDefined, GateRetired, GateRule, Grant, Text
from shared.contracts.opportunity.gates import LONGEST_WAIVER_DAYS
from shared.contracts.refusal import Reason, RefusedError, refuse
from shared.kit.moments import Moment

BOOK = "default"
RESERVED = frozenset({"backtests", "backtest", "effectiveness", "facts", "firings", "proposals"})  # paths below /gates
Entry = GateDefined | GateRetired
Word = TypeVar("Word", bound=Entry | AuthorityDefined)


class DefineGate(Command):
    """A new version of a gate. In force from `effective_from`, default now, until `effective_to` or a later version."""

    rule: GateRule
    effective_from: Moment | None = None
    effective_to: Moment | None = None


class RetireGate(Command):
    """No longer in force from `effective_from` on, default now."""

    effective_from: Moment | None = None
    reason: Text


class DefineAuthority(Command):
    """The authority matrix from `effective_from` on, default now."""

    standard_payment_days: int = Field(ge=0, le=3_650)
    longest_waiver_days: int = Field(default=LONGEST_WAIVER_DAYS, ge=1, le=3_650)
    grants: tuple[Grant, ...] = Field(max_length=200)
    effective_from: Moment | None = None


@dataclass(frozen=True, slots=True)
class GateBook:
    """`entries`: by key of a gate, its versions and retirements in the order in which they were said."""

    entries: Mapping[str, tuple[Entry, ...]] = field(default_factory=lambda: MappingProxyType({}))
    authorities: tuple[AuthorityDefined, ...] = ()

    def versions(self, key: str) -> tuple[GateDefined, ...]:
        return tuple(one for one in self.entries.get(key, ()) if isinstance(one, GateDefined))

    def in_force(self, key: str, at: datetime) -> GateDefined | None:
        """The version that binds who acts at this moment: the word that began to count last, unless it has run out."""
        last = _latest(self.entries.get(key, ()), at)
        if last is None or isinstance(last, GateRetired):
            return None
        return None if last.effective_to is not None and last.effective_to <= at else last

    def gates(self, at: datetime) -> tuple[GateDefined, ...]:
        """All that are in force, in order of their keys."""
        return tuple(gate for key in sorted(self.entries) if (gate := self.in_force(key, at)) is not None)

    def authority(self, at: datetime) -> AuthorityDefined | None:
        return _latest(self.authorities, at)


def _latest(words: Sequence[Word], at: datetime) -> Word | None:
    """Of those that have begun to count, the one that began last; of several for one moment, the last one said."""
    begun = [(word.effective_from, order) for order, word in enumerate(words) if word.effective_from <= at]
    return words[max(begun)[1]] if begun else None


def evolve_book(book: GateBook, e: Recorded[Any]) -> GateBook:
    match e.event:
        case GateDefined(key=key) | GateRetired(key=key):
            said = (*book.entries.get(key, ()), e.event)
            return replace(book, entries=MappingProxyType({**book.entries, key: said}))
        case AuthorityDefined():
            return replace(book, authorities=(*book.authorities, e.event))
    return book


def decide_gate(book: GateBook, key: str, command: DefineGate, now: datetime, *, new: bool) -> Sequence[Event]:
    """Refuses (kind input) with every fault at once; nothing to do when the version that is in force then says the same.

    `new`: refuse a key that is taken; otherwise one that is not.
    """
    versions = book.versions(key)
    if new and versions:
        raise refuse("gate_exists", f"there is a gate {key!r} already", field="key", expected=f"/gates/{key}/versions")
    if not new and not versions:
        raise unknown_gate(book, key)
    begins = command.effective_from or now
    faults = [*_bad_key(key), *_timing(begins, command.effective_to, now), *faults_of(command.rule)]
    if faults:
        raise RefusedError(tuple(faults), "input")
    bound = book.in_force(key, begins)
    if bound is not None and bound.rule == command.rule and bound.effective_to == command.effective_to:
        return []
    return [
        GateDefined(
            key=key,
            version=len(versions) + 1,
            rule=command.rule,
            effective_from=begins,
            effective_to=command.effective_to,
        )
    ]


def decide_retire(book: GateBook, key: str, command: RetireGate, now: datetime) -> Sequence[Event]:
    """Also versions that would come into force later are taken back. Nothing to do where none is in force from then on."""
    if key not in book.entries:
        raise unknown_gate(book, key)
    ends = command.effective_from or now
    if faults := tuple(_timing(ends, None, now)):
        raise RefusedError(faults, "input")
    coming = {one.effective_from for one in book.versions(key) if one.effective_from > ends}
    return [
        GateRetired(key=key, effective_from=moment, reason=command.reason)
        for moment in (ends, *sorted(coming))
        if book.in_force(key, moment) is not None
    ]


def decide_authority(book: GateBook, command: DefineAuthority, now: datetime) -> Sequence[Event]:
    """Refuses (kind input) a role that is granted one kind twice, and an amount without a currency of its own."""
    begins = command.effective_from or now
    faults = [*_timing(begins, None, now), *_bad_grants(command.grants)]
    if faults:
        raise RefusedError(tuple(faults), "input")
    bound = book.authority(begins)
    said = command.model_dump(exclude={"occurred_at", "effective_from"})
    if bound is not None and bound.model_dump(exclude={"version", "effective_from"}) == said:
        return []
    return [
        AuthorityDefined(
            version=len(book.authorities) + 1,
            standard_payment_days=command.standard_payment_days,
            longest_waiver_days=command.longest_waiver_days,
            grants=command.grants,
            effective_from=begins,
        )
    ]


def unknown_gate(book: GateBook, key: str) -> RefusedError:
    known = ", ".join(sorted(book.entries)) or "none is defined yet"
    return refuse("unknown_gate", f"there is no gate {key!r}", field="gate", expected=known, kind="missing")


def _bad_key(key: str) -> Iterator[Reason]:
    if key in RESERVED:
        yield Reason("bad_key", f"/gates/{key} is something else already", "key", "another key")


def _timing(begins: datetime, ends: datetime | None, now: datetime) -> Iterator[Reason]:
    """A rule binds who acts from now on: nobody could have kept one that was made later."""
    if begins < now:
        fault = f"{begins.isoformat()} has passed, and what was done then is done"
        yield Reason("effective_in_the_past", fault, "effective_from", f"{now.isoformat()} or later; default now")
    if ends is not None and ends <= begins:
        fault = "it would end before it begins"
        yield Reason("effective_backwards", fault, "effective_to", f"after {begins.isoformat()}")


def _bad_grants(grants: Sequence[Grant]) -> Iterator[Reason]:
    seen: set[tuple[str, str]] = set()
    for index, grant in enumerate(grants):
        if (grant.role, grant.kind) in seen:
            fault = f"{grant.role} is granted {named(grant.kind)} twice"
            yield Reason("granted_twice", fault, f"grants.{index}", "one grant for a role and a kind")
        seen.add((grant.role, grant.kind))
        currencies = [money.currency for money in grant.up_to]
        if len(set(currencies)) != len(currencies):
            yield Reason("currency_twice", "two limits in one currency", f"grants.{index}.up_to", "one per currency")
        if any(money.minor < 0 for money in grant.up_to):
            yield Reason("negative_amount", "a limit is negative", f"grants.{index}.up_to", "0 or more")
