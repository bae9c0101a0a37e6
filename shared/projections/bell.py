"""Rung when a projection has moved on, so that reads that wait look again at once."""

import asyncio
import contextlib


class Bell:
    """Every ring wakes all who wait now. Across processes nothing rings: whoever waits also looks from time to time."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()

    async def wait(self, seconds: float) -> None:
        """Until the next ring, at most so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)
