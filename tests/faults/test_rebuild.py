"""Rebuild while live: under writes, killed half way, run again; reads never fail and never see time go back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import func, select

from shared.projections.reads import ReadModels
from tests.faults.chaos import PATIENCE
from tests.faults.checker import Rows, ViolationError, check_read_models, check_rows, fold_lines, generations, read_rows
from tests.faults.scene import Scene, lines
from tests.faults.tally import line_table, tally_lines

TOTALS = select(func.count(), func.coalesce(func.sum(line_table.c.events), 0))


class Looker:
    """Reads the read model all the time, as a request does."""

    def __init__(self) -> None:
        self.looks = 0
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def looking(self, scene: Scene) -> AsyncIterator[None]:
        task = asyncio.create_task(self._look(scene))
        try:
            yield
        finally:
            self._stop.set()
            async with asyncio.timeout(PATIENCE):
                await task

    async def _look(self, scene: Scene) -> None:
        seen = (0, 0)
        async with scene.engine() as engine:
            reads = ReadModels(engine)
            while not self._stop.is_set():
                async with reads.connect(tally_lines) as connection:
                    now = (await connection.execute(TOTALS)).tuples().one()
                if now < seen:
                    raise ViolationError("a switch is atomic", f"after {seen} (lines, events) came {now}")
                seen = (int(now[0]), int(now[1]))
                self.looks += 1


async def test_a_rebuild_under_writes_is_killed_and_run_again_while_reads_go_on(scene: Scene) -> None:
    chaos, load, looker = scene.chaos, scene.load, Looker()
    worker = await scene.worker()
    await load.start(lines(40), tasks=4, mix={"count": 3, "pair": 1, "graded": 1})
    await load.reaches(1_000)
    await scene.shown()
    async with looker.looking(scene):
        for _ in range(chaos.strength):
            for _killed in range(2):
                victim = await scene.rebuilding()
                await victim.tells("progress", chaos.dice.randrange(1, 5))
                chaos.kill(victim)
                await victim.ended()
            rebuilt = await scene.rebuilding()
            assert await rebuilt.ended() == 0, rebuilt.last_words()
            if not (rebuilt.said[-1].startswith("switched") and rebuilt.said[-1].endswith("equal")):
                raise ViolationError("a new generation equals the live one", rebuilt.last_words())
    await load.stop()
    journal = await load.finish()
    history = await scene.checked_history(journal)
    await scene.shown()
    await check_read_models(scene.dsn, history, "rebuilt is what a pure fold gives")
    states = await generations(scene.dsn, tally_lines.name)
    assert set(states) == {"live", "old"}
    assert states["live"] > 1
    await _check_old(scene, states["old"], fold_lines(history))
    await worker.stop()
    assert looker.looks > 0


async def _check_old(scene: Scene, generation: int, right: Rows) -> None:
    """The old generation goes on until it is dropped."""
    await scene.until(
        "SELECT min(o.position - l.position) = 0 AND max(o.position - l.position) = 0 FROM projection.checkpoint o "
        "JOIN projection.checkpoint l USING (projection, topic, partition) JOIN projection.generation g "
        "ON g.projection = l.projection AND g.generation = l.generation AND g.state = 'live' "
        f"WHERE o.projection = 'tally_lines' AND o.generation = {generation}"
    )
    check_rows("the old generation goes on", await read_rows(scene.dsn, "tally_lines", "line", generation), right)
