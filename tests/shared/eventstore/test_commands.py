"""Commands: one answer for ever, decisions on what is true, conflicts decided again."""

import asyncio
from datetime import datetime, timedelta

import pytest

from shared.contracts.event import Recorded
from shared.contracts.refusal import RefusedError
from shared.eventstore.commands import Commands, Outcome, Work
from shared.eventstore.store import EventStore
from shared.eventstore.types import (
    EventTooLargeError,
    IdempotencyMismatchError,
    JsonObject,
    Pending,
    StaleVersionError,
    VersionConflictError,
)
from shared.kit.clock import FixedClock
from tests.shared.eventstore.bank import ACCOUNT, NOW, PaidIn, PaidOut, context, pay_in, pay_out, transfer
from tests.shared.eventstore.conftest import OpenStore


@pytest.fixture
async def rival(open_store: OpenStore, clock: FixedClock) -> Commands:
    """Another process, whose memory knows nothing of the first one's doings."""
    return Commands(await open_store(), b"secret", clock)


async def test_the_outcome_tells_answer_versions_positions_and_events(commands: Commands) -> None:
    await commands.run(context(), {}, pay_in("1", 500))
    outcome = await commands.run(context(), {}, pay_out("1", 200))
    assert (outcome.answer, outcome.version, outcome.versions) == ({"balance": 300}, 2, {"account-1": 2})
    assert (outcome.first, outcome.last, outcome.replayed) == (2, 2, False)
    (event,) = outcome.events
    assert isinstance(event, Recorded)
    assert (event.position, event.version, event.event) == (2, 2, PaidOut(minor=200))


async def test_a_retry_gets_the_first_answer_and_does_nothing(commands: Commands, rival: Commands) -> None:
    first = await commands.run(context("k"), {"minor": 5}, pay_in("1", 5))
    await commands.run(context(), {}, pay_in("1", 1))
    for again in (commands, rival):
        replay = await again.run(context("k"), {"minor": 5}, pay_in("1", 5))
        assert replay.replayed
        assert (replay.answer, replay.versions, replay.first, replay.last) == (
            first.answer, first.versions, first.first, first.last,
        )  # fmt: skip
    with pytest.raises(IdempotencyMismatchError):
        await commands.run(context("k"), {"minor": 6}, pay_in("1", 6))


async def test_a_keyed_command_that_changed_nothing_is_remembered_too(commands: Commands, store: EventStore) -> None:
    await commands.run(context("k"), {}, pay_in("1", 0))
    assert await store.head() == 0
    await commands.run(context(), {}, pay_in("1", 100))
    replay = await commands.run(context("k"), {}, pay_in("1", 0))
    assert (replay.replayed, replay.answer) == (True, {"balance": 0})


async def test_a_refused_command_may_be_tried_again_with_its_key(commands: Commands) -> None:
    await commands.run(context(), {}, pay_in("1", 100))
    with pytest.raises(RefusedError):
        await commands.run(context("k"), {}, pay_out("1", 150))
    await commands.run(context(), {}, pay_in("1", 100))
    outcome = await commands.run(context("k"), {}, pay_out("1", 150))
    assert (outcome.replayed, outcome.answer) == (False, {"balance": 50})


async def test_refusals_and_no_ops_rest_on_the_store_and_not_on_memory(commands: Commands, rival: Commands) -> None:
    """What this process remembers is out of date; the other process has paid in."""
    await commands.run(context(), {}, pay_in("1", 100))
    await rival.run(context(), {}, pay_in("1", 900))
    assert (await commands.run(context(), {}, pay_out("1", 1_000))).answer == {"balance": 0}
    await rival.run(context(), {}, pay_in("1", 7))
    no_op = await commands.run(context(), {}, pay_in("1", 0))
    assert (no_op.answer, no_op.version, no_op.last) == ({"balance": 7}, 4, 0)


async def test_a_retry_that_meets_the_effects_of_its_first_try_is_not_refused(
    commands: Commands, rival: Commands
) -> None:
    """Both tries looked the command up before either had written: the second one finds the money gone."""
    await commands.run(context(), {}, pay_in("1", 100))
    first_done = asyncio.Event()
    late_looked_up = asyncio.Event()

    async def late(work: Work) -> JsonObject:
        late_looked_up.set()
        await first_done.wait()
        return await pay_out("1", 100)(work)

    retry = asyncio.ensure_future(rival.run(context("k"), {}, late))
    await late_looked_up.wait()
    first = await commands.run(context("k"), {}, pay_out("1", 100))
    first_done.set()
    second = await retry
    assert (second.replayed, second.answer, second.last) == (True, first.answer, first.last)


async def test_if_match(commands: Commands, rival: Commands) -> None:
    await commands.run(context(), {}, pay_in("1", 100))
    assert (await commands.run(context(if_match=1), {}, pay_in("1", 100))).version == 2
    with pytest.raises(StaleVersionError) as stale:
        await commands.run(context(if_match=1), {}, pay_in("1", 100))
    assert (stale.value.expected, stale.value.actual, stale.value.stream_id) == (1, 2, "account-1")
    await rival.run(context(), {}, pay_in("1", 100))
    with pytest.raises(StaleVersionError) as stale:
        await commands.run(context(if_match=2), {}, pay_in("1", 100))
    assert stale.value.actual == 3
    assert (await commands.run(context(if_match=3), {}, pay_in("1", 1))).version == 4


async def test_if_match_is_right_though_memory_says_otherwise(commands: Commands, rival: Commands) -> None:
    await commands.run(context(), {}, pay_in("1", 100))
    await rival.run(context(), {}, pay_in("1", 100))
    assert (await commands.run(context(if_match=2), {}, pay_in("1", 1))).version == 3


async def test_a_lost_race_is_decided_again_a_few_times(commands: Commands, rival: Commands) -> None:
    await commands.run(context(), {}, pay_in("1", 100))
    tries = 0

    async def disturbed(work: Work, times: int) -> JsonObject:
        nonlocal tries
        tries += 1
        loaded = await work.state(ACCOUNT, "1")
        if tries <= times:
            await rival.run(context(), {}, pay_in("1", 10))
        work.append(ACCOUNT, "1", PaidOut(minor=loaded.state))
        return {"paid": loaded.state}

    outcome = await commands.run(context(), {}, lambda work: disturbed(work, 4))
    assert (tries, outcome.answer) == (5, {"paid": 140})
    tries = 0
    with pytest.raises(VersionConflictError):
        await commands.run(context(), {}, lambda work: disturbed(work, 100))
    assert tries == 10


async def test_a_crowd_at_one_stream_is_served_in_full(commands: Commands) -> None:
    paid = await asyncio.gather(*(commands.run(context(), {}, pay_in("1", 1)) for _ in range(60)))
    assert sorted(outcome.answer["balance"] for outcome in paid) == list(range(1, 61))


async def test_what_is_born_is_not_read_but_asserted(commands: Commands, store: EventStore) -> None:
    async def open_account(work: Work) -> JsonObject:
        work.born(ACCOUNT, "new")
        work.append(ACCOUNT, "new", PaidIn(minor=7))
        return {"balance": (await work.state(ACCOUNT, "new")).state}

    outcome = await commands.run(context(), {}, open_account)
    assert (outcome.answer, outcome.version) == ({"balance": 7}, 1)
    assert (await commands.run(context(), {}, pay_in("new", 1))).answer == {"balance": 8}
    with pytest.raises(VersionConflictError):
        await commands.run(context(), {}, open_account)
    assert await store.version("account-new") == 2


async def test_dry_run_decides_and_checks_but_writes_nothing(commands: Commands, store: EventStore) -> None:
    await commands.run(context(), {}, pay_in("1", 100))
    would_be = await commands.run(context("k", dry_run=True), {}, pay_out("1", 60))
    assert (would_be.dry_run, would_be.answer, would_be.version, would_be.last) == (True, {"balance": 40}, 2, 0)
    (event,) = would_be.events
    assert isinstance(event, Pending)
    assert event.event == PaidOut(minor=60)
    with pytest.raises(RefusedError):
        await commands.run(context(dry_run=True), {}, pay_out("1", 101))
    with pytest.raises(StaleVersionError):
        await commands.run(context(dry_run=True, if_match=7), {}, pay_out("1", 1))
    assert await store.head() == 1
    real = await commands.run(context("k"), {}, pay_out("1", 100))
    assert (real.replayed, real.answer) == (False, {"balance": 0})


async def test_business_time(commands: Commands, store: EventStore) -> None:
    earlier = NOW - timedelta(days=400)
    await commands.run(context(occurred_at=earlier), {}, pay_in("1", 1))
    await commands.run(context(occurred_at=NOW + timedelta(minutes=5)), {}, pay_in("1", 1))
    await commands.run(context(), {}, pay_in("1", 1))
    moments = [recorded.occurred_at for recorded in await store.load("account-1")]
    assert moments == [earlier, NOW + timedelta(minutes=5), NOW]

    async def tomorrow(work: Work) -> JsonObject:
        work.append(ACCOUNT, "2", PaidIn(minor=1), occurred_at=NOW + timedelta(days=1))
        return {}

    for bad, decide in (
        (context(occurred_at=NOW + timedelta(minutes=6)), pay_in("1", 1)),
        (context(occurred_at=NOW.replace(tzinfo=None)), pay_in("1", 1)),
        (context(occurred_at=datetime.fromisoformat("0001-01-01T00:00:00+14:00")), pay_in("1", 1)),
        (context(occurred_at=datetime.fromisoformat("9999-12-31T23:59:59-14:00")), pay_in("1", 1)),
        (context(), tomorrow),
    ):
        with pytest.raises(RefusedError) as refused:
            await commands.run(bad, {}, decide)
        assert refused.value.kind == "input"


async def test_what_does_not_exist_or_cannot(commands: Commands) -> None:
    for account, kind in (("nobody", "missing"), ("zero\0", "input"), ("x" * 600, "input"), ("", "input")):
        with pytest.raises(RefusedError) as refused:
            await commands.run(context(if_match=1), {}, pay_out(account, 1))
        assert refused.value.kind == kind
    with pytest.raises(RefusedError) as refused:
        await commands.run(context("k" * 600), {}, pay_in("1", 1))
    assert refused.value.kind == "input"

    async def huge(work: Work) -> JsonObject:
        work.append(ACCOUNT, "1", PaidIn(minor=1, note="x" * 300_000))
        return {}

    with pytest.raises(EventTooLargeError):
        await commands.run(context(dry_run=True), {}, huge)


async def test_money_moves_between_streams_and_is_never_lost(commands: Commands, rival: Commands) -> None:
    for account in "abc":
        await commands.run(context(), {}, pay_in(account, 100))
    moves = [("a", "b"), ("b", "c"), ("c", "a"), ("b", "a"), ("a", "c"), ("c", "b")] * 4
    results = await asyncio.gather(
        *((commands, rival)[n % 2].run(context(), {}, transfer(*move, 30 + n)) for n, move in enumerate(moves)),
        return_exceptions=True,
    )
    assert all(isinstance(r, Outcome | RefusedError | VersionConflictError) for r in results)
    assert any(isinstance(r, Outcome) for r in results)
    balances = [(await rival.run(context(), {}, pay_in(account, 0))).answer["balance"] for account in "abc"]
    assert sum(balances) == 300
    assert min(balances) >= 0


async def test_memory_for_few_states_gives_the_same_answers(store: EventStore, clock: FixedClock) -> None:
    forgetful = Commands(store, b"secret", clock, states=1)
    for turn in range(1, 4):
        for account in "abc":
            outcome = await forgetful.run(context(), {}, pay_in(account, 10))
            assert (outcome.answer, outcome.version) == ({"balance": 10 * turn}, turn)


async def test_a_batch_answers_per_item_and_keeps_the_order_of_a_lane(commands: Commands) -> None:
    items = [(context(f"k/{n}"), {"n": n}, pay_in("1", n)) for n in range(1, 31)]
    items.append((context("k/bad"), {}, pay_out("nobody", 1)))
    results = await commands.run_many(items, lanes=["1"] * 30 + ["nobody"])
    balances = [r.answer["balance"] for r in results[:30] if isinstance(r, Outcome)]
    assert balances == [n * (n + 1) // 2 for n in range(1, 31)]
    assert isinstance(results[30], RefusedError)
    replays = await commands.run_many([*items[:3]])
    assert [r.replayed for r in replays if isinstance(r, Outcome)] == [True] * 3
