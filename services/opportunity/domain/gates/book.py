"""The book of gates: every version of every rule and of the authority matrix, and which of them are in force (R5)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from pydantic import Field

from services.opportunity.domain.commands import Command
from services.opportunity.domain.gates.rule import faults_of, named
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import AuthorityDefined, GateDefined, GateRetired, GateRule, Grant, Text
from shared.contracts.refusal import Reason, RefusedError, refuse
from shared.kit.moments import Moment

BOOK = "default"
RESERVED = frozenset({"backtests", "backtest", "effectiveness", "facts", "firings", "proposals"})  # paths below /gates
Entry = GateDefined | GateRetired


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
        """The version that binds who acts at this moment: the last word that has begun to count, unless it has run out."""
        begun = [one for one in self.entries.get(key, ()) if one.effective_from <= at]
        if not begun or isinstance(begun[-1], GateRetired):
            return None
        last = begun[-1]
        return None if last.effective_to is not None and last.effective_to <= at else last

    def gates(self, at: datetime) -> tuple[GateDefined, ...]:
        """All that are in force, in order of their keys."""
        return tuple(gate for key in sorted(self.entries) if (gate := self.in_force(key, at)) is not None)

    def authority(self, at: datetime) -> AuthorityDefined | None:
        begun = [one for one in self.authorities if one.effective_from <= at]
        return begun[-1] if begun else None


def evolve_book(book: GateBook, e: Recorded[Any]) -> GateBook:
    match e.event:
        case GateDefined(key=key) | GateRetired(key=key):
            said = (*book.entries.get(key, ()), e.event)
            return replace(book, entries=MappingProxyType({**book.entries, key: said}))
        case AuthorityDefined():
            return replace(book, authorities=(*book.authorities, e.event))
    return book


def decide_gate(book: GateBook, key: str, command: DefineGate, now: datetime, *, new: bool) -> Sequence[Event]:
    """Refuses (kind input) with every fault at once; nothing to do when the version in force says the same.

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
    last = book.entries[key][-1] if versions else None
    same = isinstance(last, GateDefined) and last.rule == command.rule and last.effective_to == command.effective_to
    if same and command.effective_from in (None, getattr(last, "effective_from", None)):
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
    """Nothing to do when it is retired already and no later version was defined."""
    if key not in book.entries:
        raise unknown_gate(book, key)
    ends = command.effective_from or now
    if faults := tuple(_timing(ends, None, now)):
        raise RefusedError(faults, "input")
    if isinstance(book.entries[key][-1], GateRetired):
        return []
    return [GateRetired(key=key, effective_from=ends, reason=command.reason)]


def decide_authority(book: GateBook, command: DefineAuthority, now: datetime) -> Sequence[Event]:
    """Refuses (kind input) a role that is granted one kind twice, and an amount without a currency of its own."""
    begins = command.effective_from or now
    faults = [*_timing(begins, None, now), *_bad_grants(command.grants)]
    if faults:
        raise RefusedError(tuple(faults), "input")
    last = book.authorities[-1] if book.authorities else None
    said = command.model_dump(exclude={"occurred_at", "effective_from"})
    if last is not None and last.model_dump(exclude={"version", "effective_from"}) == said:
        return []
    return [
        AuthorityDefined(
            version=len(book.authorities) + 1,
            standard_payment_days=command.standard_payment_days,
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
