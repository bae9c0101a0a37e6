"""Checkpoints of read models for which a batch had nothing, moved together: most read models have nothing to do with most events,
and a transaction for each of them would cost more than the folding."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.projections.checkpoints import FencedError, Move, move_several


@dataclass(frozen=True, slots=True)
class _Booked:
    name: str
    generation: int
    moves: tuple[Move, ...]
    done: "asyncio.Future[None]"


class Booking:
    """One transaction is under way at a time; who comes meanwhile shares the next one."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: list[_Booked] = []
        self._writing: asyncio.Task[None] | None = None

    async def move(self, name: str, generation: int, moves: Sequence[Move]) -> None:
        """Returns when the moves are durable. Raises FencedError, and what the database raises."""
        booked = _Booked(name, generation, tuple(moves), asyncio.get_running_loop().create_future())
        self._waiting.append(booked)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(), name="book checkpoints")
        await booked.done

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)  # whoever was woken by the same records comes along
                some, self._waiting = self._waiting, []
                await self._settle(some)
        finally:
            self._writing = None

    async def _settle(self, some: Sequence[_Booked]) -> None:
        """Write, and tell those who wait. What fails is theirs to know: others may have come meanwhile, and are next."""
        try:
            await self._write(some)
        except FencedError as fenced:
            if len(some) == 1:
                _tell(some, fenced)
                return
            for booked in some:  # the others need not begin again for it
                await self._settle([booked])
        except Exception as error:  # noqa: BLE001 - handed to whoever booked it
            _tell(some, error)
        except asyncio.CancelledError:
            for booked in (*some, *self._waiting):
                booked.done.cancel()
            raise
        else:
            _tell(some, None)

    async def _write(self, some: Sequence[_Booked]) -> None:
        moves = [(booked.name, booked.generation, move) for booked in some for move in booked.moves]
        async with self._engine.begin() as connection:
            await move_several(connection, moves)


def _tell(some: Sequence[_Booked], error: Exception | None) -> None:
    for booked in some:
        if booked.done.done():  # cancelled: nobody asks any more
            continue
        if error is None:
            booked.done.set_result(None)
        else:
            booked.done.set_exception(error)
