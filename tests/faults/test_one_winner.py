"""One winner: however many write to the same streams and die over it, every version and every position is given once."""

from collections import Counter

from tests.faults.checker import CursorReader, ViolationError
from tests.faults.load import Journal
from tests.faults.scene import Scene, lines

WRITERS = (
    {"mix": {"count": 2, "pair": 2, "open": 1}},
    {"mix": {"count": 1, "race": 3, "graded": 1}},
    {"mix": {"count": 2, "bulk": 1}},
    {"mix": {"race": 1, "pair": 1}},
)


async def test_writers_that_race_and_die_leave_one_whole_history(scene: Scene) -> None:
    chaos, load, reader = scene.chaos, scene.load, CursorReader()
    async with reader.reading(scene.dsn):
        for options in WRITERS:
            await load.start(lines(6), **options)
        for point in chaos.points(3 * chaos.strength, 1_500 * chaos.strength):
            await load.reaches(point)
            chaos.kill(chaos.pick(load.living))
            await load.start(lines(6), **chaos.pick(WRITERS))
        await load.more(300)
        await load.stop()
    journal = await load.finish()
    history = await scene.checked_history(journal)
    _check_winners(journal)
    async with scene.store() as store:
        for name in lines(6):
            versions = [event.version for event in await store.load(f"tally-{name}")]
            assert versions == list(range(1, len(versions) + 1))
    reader.check([fact for fact in history if fact.position <= reader.seen[-1][0]])


def _check_winners(journal: Journal) -> None:
    """Nobody was told that a version is his which somebody else was told is his."""
    claimed = Counter(place for answers in journal.acknowledged.values() for place in set(answers[0].versions.items()))
    [(place, winners)] = claimed.most_common(1)
    if winners > 1:
        raise ViolationError("one winner", f"{winners} callers were told that {place} is theirs")
