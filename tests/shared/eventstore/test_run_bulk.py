"""Commands of an import, written together: the same outcomes as one by one."""

import asyncio

from shared.contracts.refusal import RefusedError
from shared.eventstore.commands import Commands, Item, Outcome
from shared.eventstore.store import EventStore
from shared.kit.clock import FixedClock
from tests.shared.eventstore.bank import context, pay_in, pay_out, transfer
from tests.shared.eventstore.conftest import OpenStore


def accounts(count: int) -> list[str]:
    return [f"account-{number}" for number in range(count)]


async def test_what_is_new_is_written_in_one_transaction_and_remembered(commands: Commands, store: EventStore) -> None:
    items: list[Item] = [(context(), {}, pay_in(str(number), number + 1)) for number in range(5)]
    outcomes = await commands.run_bulk(items, accounts(5))
    assert [_told(one) for one in outcomes] == [({"balance": n + 1}, {f"account-{n}": 1}, n + 1) for n in range(5)]
    assert len({event.recorded_at for event in await store.envelopes(0, 10)}) == 1
    assert _told(await commands.run(context(), {}, pay_out("4", 2))) == ({"balance": 3}, {"account-4": 2}, 6)


async def test_what_cannot_be_written_together_is_done_afterwards(commands: Commands, store: EventStore) -> None:
    await commands.run(context(), {}, pay_in("old", 10))
    decides = [
        pay_in("0", 1), pay_in("0", 2), pay_out("1", 5), pay_in("2", 0), pay_in("old", 1), transfer("old", "3", 4),
        pay_in("4", 1),
    ]  # fmt: skip
    makes = ["account-0", "account-0", "account-1", "account-2", "account-old", "account-3", "account-4"]
    contexts = [context() for _ in decides[1:]] + [context("key")]
    outcomes = await commands.run_bulk([(c, {}, d) for c, d in zip(contexts, decides, strict=True)], makes)
    refused = outcomes.pop(2)
    assert isinstance(refused, RefusedError)
    assert [one.answer["balance"] for one in outcomes[:3] if isinstance(one, Outcome)] == [1, 3, 0]
    assert all(isinstance(one, Outcome) for one in outcomes)
    found = await store.versions(["account-0", "account-1", "account-2", "account-old", "account-3", "account-4"])
    assert list(found.values()) == [2, 0, 0, 3, 1, 1]
    assert await store.command("tester/key") is not None


async def test_whoever_was_quicker_is_built_upon(
    commands: Commands, open_store: OpenStore, clock: FixedClock, store: EventStore
) -> None:
    rivals = [commands, Commands(await open_store(), b"secret", clock)]
    items: list[list[Item]] = [[(context(), {}, pay_in(str(n), 1)) for n in range(40)] for _ in rivals]
    done = await asyncio.gather(*(one.run_bulk(mine, accounts(40)) for one, mine in zip(rivals, items, strict=True)))
    assert all(isinstance(outcome, Outcome) for outcomes in done for outcome in outcomes)
    assert set((await store.versions(accounts(40))).values()) == {2}


def _told(outcome: Outcome | Exception) -> tuple[object, object, int]:
    assert isinstance(outcome, Outcome)
    return outcome.answer, dict(outcome.versions), outcome.last
