"""The events and requests that the tests of the store share: a bank whose balances never fall below zero."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from shared.contracts.event import Contract, Event, Recorded
from shared.contracts.refusal import refuse
from shared.eventstore.aggregate import Aggregate
from shared.eventstore.commands import CommandContext, Decide, Work
from shared.eventstore.types import AppendRequest, CommandRecord, JsonObject, Pending
from shared.kit.ids import new_id

NOW = datetime(2017, 3, 31, 1, 0, tzinfo=UTC)
BANK = Contract("bank")


@BANK.event("bank.paid_in", 2)
class PaidIn(Event):
    minor: int
    note: str | None = None


@BANK.event("bank.paid_out")
class PaidOut(Event):
    minor: int


@BANK.upcast("bank.paid_in", 1)
def _yuan_to_fen(data: JsonObject) -> JsonObject:
    return {"minor": data["yuan"] * 100}


def _evolve(balance: int, recorded: Recorded[Any]) -> int:
    event = recorded.event
    return balance + event.minor if isinstance(event, PaidIn) else balance - event.minor


ACCOUNT = Aggregate("account", 0, _evolve)


def request(
    expected: Mapping[str, int],
    writes: Mapping[str, int] | None = None,
    *,
    event: Event | None = None,
    command: CommandRecord | None = None,
) -> AppendRequest:
    """`writes`: stream → how many events. Streams of `expected` that are not in it are only asserted."""
    chosen = dict.fromkeys(expected, 1) if writes is None else writes
    pending = tuple(
        Pending(stream, event or PaidIn(minor=100), NOW, new_id()) for stream, n in chosen.items() for _ in range(n)
    )
    return AppendRequest(pending, expected, "tester", uuid4(), command=command)


def command(command_id: str, answer: JsonObject | None = None) -> CommandRecord:
    return CommandRecord(command_id, b"hash", answer or {})


def context(key: str | None = None, **more: Any) -> CommandContext:
    return CommandContext("tester", NOW, uuid4(), command_id=None if key is None else f"tester/{key}", **more)


def pay_in(account: str, minor: int) -> Decide:
    async def decide(work: Work) -> JsonObject:
        loaded = await work.state(ACCOUNT, account)
        if minor:
            work.append(ACCOUNT, account, PaidIn(minor=minor))
        return {"balance": loaded.state + minor}

    return decide


def pay_out(account: str, minor: int) -> Decide:
    async def decide(work: Work) -> JsonObject:
        loaded = await work.state(ACCOUNT, account, must_exist=True)
        if loaded.state < minor:
            raise refuse("overdrawn", "the balance is too low", field="minor")
        work.append(ACCOUNT, account, PaidOut(minor=minor))
        return {"balance": (await work.state(ACCOUNT, account)).state}

    return decide


def transfer(source: str, target: str, minor: int) -> Decide:
    async def decide(work: Work) -> JsonObject:
        if (await work.state(ACCOUNT, source)).state < minor:
            raise refuse("overdrawn", "the balance is too low")
        await work.state(ACCOUNT, target)
        work.append(ACCOUNT, source, PaidOut(minor=minor))
        work.append(ACCOUNT, target, PaidIn(minor=minor))
        return {}

    return decide
