"""The store against a model in memory: random groups of requests at once, through two stores as two processes."""

import asyncio
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.eventstore.store import EventStore
from shared.eventstore.types import Appended, AppendRequest, CommandSeenError, VersionConflictError
from tests.shared.eventstore.bank import command, request
from tests.shared.eventstore.conftest import OpenStore
from tests.shared.eventstore.test_append import assert_dense

Answer = Appended | VersionConflictError | CommandSeenError

streams = st.sampled_from("abc")
# Per request: stream → (how far its expectation is off, how many events), and the command's key if it has one.
one_request = st.tuples(
    st.dictionaries(streams, st.tuples(st.sampled_from([0, 0, 0, 1, -1]), st.integers(0, 2)), max_size=3),
    st.none() | st.integers(1, 4),
)
groups = st.lists(st.lists(one_request, min_size=1, max_size=6), min_size=1, max_size=5)


class Model:
    """What is true after the requests that succeeded so far."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self.commands: dict[str, tuple[int, int]] = {}

    def request(self, prefix: str, wanted: dict[str, tuple[int, int]], key: int | None) -> AppendRequest:
        names = {f"{prefix}-{stream}": value for stream, value in wanted.items()}
        expected = {s: max(0, self.versions.get(s, 0) + off) for s, (off, _) in names.items()}
        record = None if key is None else command(f"{prefix}/{key}")
        return request(expected, {s: n for s, (_, n) in names.items()}, command=record)

    def succeed(self, asked: AppendRequest, result: Appended) -> None:
        assert all(self.versions.get(s, 0) == v for s, v in asked.expected.items())
        assert result.last - result.first == len(asked.events) - 1
        for pending in asked.events:
            self.versions[pending.stream_id] = self.versions.get(pending.stream_id, 0) + 1
        assert result.versions == {s: self.versions[s] for s in {p.stream_id for p in asked.events}}
        self.learn(asked, result)

    def learn(self, asked: AppendRequest, result: Appended) -> None:
        if asked.command is not None:
            assert asked.command.command_id not in self.commands
            self.commands[asked.command.command_id] = (result.first, result.last)


def judge(model: Model, group: list[AppendRequest], answers: list[Answer]) -> None:
    """The successes, in order of position, are what one request at a time would do; each failure has its reason."""
    before = dict(model.versions)
    successes = [(a, r) for a, r in zip(group, answers, strict=True) if isinstance(r, Appended)]
    for asked, appended in sorted(successes, key=lambda pair: pair[1].first):
        if asked.events:
            model.succeed(asked, appended)
        else:
            model.learn(asked, appended)
    for asked, result in zip(group, answers, strict=True):
        if isinstance(result, CommandSeenError):
            assert model.commands[result.record.command_id] == (result.record.first, result.record.last)
        elif isinstance(result, VersionConflictError):
            assert result.actual
            for stream, actual in result.actual.items():
                assert actual != asked.expected[stream]
                assert before.get(stream, 0) <= actual <= model.versions.get(stream, 0)
        elif not asked.events:
            for stream, version in asked.expected.items():
                assert before.get(stream, 0) <= version <= model.versions.get(stream, 0)


async def _answer(store: EventStore, asked: AppendRequest) -> Answer:
    try:
        return await store.append(asked)
    except (VersionConflictError, CommandSeenError) as refused:
        return refused


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=groups)
async def test_the_store_behaves_like_one_request_at_a_time(
    open_store: OpenStore, history: list[list[tuple[dict[str, tuple[int, int]], int | None]]]
) -> None:
    stores = [await open_store(), await open_store()]
    model, prefix = Model(), f"account{uuid4().hex}"
    for shapes in history:
        group = [model.request(prefix, *shape) for shape in shapes]
        answers = await asyncio.gather(*(_answer(stores[n % 2], asked) for n, asked in enumerate(group)))
        judge(model, group, answers)
    actual = await stores[0].versions(list(model.versions))
    assert actual == model.versions
    await assert_dense(stores[1])
    for store in stores:
        await store.close()
