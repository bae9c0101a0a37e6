"""People at work through a gateway: each comments under a key of its own, looks for what was said, and reads beside it. What they
were answered is the truth that the checker holds everything else against."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from shared.projections.bell import Bell
from tests.faults.chaos import PATIENCE, Chaos
from tests.faults.checker import Fact, ViolationError
from tests.faults.gateway import Gateway, NoServerError

PEOPLE = 4
THINK_SECONDS = 0.25  # the machine is left to the processes that start meanwhile
TRY_AGAIN_SECONDS = 0.1
AGAIN = 50
NEWEST_FIRST = {"order": "-recorded", "limit": "200"}


@dataclass(frozen=True, slots=True)
class Said:
    """A comment as it was acknowledged."""

    key: str
    text: str
    path: str
    answer: str
    etag: str
    position: str

    @property
    def stream(self) -> str:
        return f"opportunity-{self.path.rsplit('/', 1)[1]}"


@dataclass
class Crowd:
    """`lossy`: connections may break now, for a process is killed; at any other time nobody may notice anything. `troubles`: what
    people were answered instead, all of it with leave to ask again.
    """

    gateway: Gateway
    chaos: Chaos
    paths: Sequence[str]
    lossy: bool = False
    asked: dict[str, str] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)
    bell: Bell = field(default_factory=Bell)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Until the end, when everybody finishes what was begun. Whoever finds a promise broken breaks all of it off."""
        async with asyncio.TaskGroup() as group:
            for number in range(PEOPLE):
                group.create_task(self._comment(f"person{number}"))
            for path in ("/opportunities?limit=5", "/funnel?group_by=state"):
                group.create_task(self._read(path))
            try:
                yield
            finally:
                self._stop.set()

    async def more(self, acks: int) -> None:
        """Until so many comments more than now are acknowledged and seen."""
        wanted = len(self.said) + acks
        async with asyncio.timeout(PATIENCE):
            while len(self.said) < wanted:
                await self.bell.wait(1.0)

    async def ask_again(self) -> None:
        """Whoever asks again, whichever API it comes to, gets the first answer."""
        for said in self.chaos.dice.sample(self.said, min(AGAIN, len(self.said))):
            again = await self._post(said.key, said.path, said.text)
            if again != said:
                raise ViolationError("the same answer, for ever", f"{said} came to be {again}")

    async def _comment(self, name: str) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            key, path = f"{name}-{number}", self.chaos.dice.choice(self.paths)
            self.asked[key] = f"remark {key}."
            said = await self._post(key, path, self.asked[key])
            await self._look(said)
            self.said.append(said)
            self.chaos.acks += 1
            self.bell.ring()
            await self._stopped_within(THINK_SECONDS)

    async def _post(self, key: str, path: str, text: str) -> Said:
        answer = await self._answered("POST", f"{path}/comments", json={"text": text}, headers={"Idempotency-Key": key})
        return Said(key, text, path, answer.text, answer.headers["ETag"], answer.headers["Keyfold-Position"])

    async def _look(self, said: Said) -> None:
        token = {"Keyfold-Position": said.position}
        seen = await self._answered("GET", f"{said.path}/history", params=NEWEST_FIRST, headers=token)
        if said.text not in seen.text:
            raise ViolationError("a token is never answered with less", f"{said} is missing: {seen.text}")

    async def _read(self, path: str) -> None:
        while not self._stop.is_set():
            await self._answered("GET", path)
            await self._stopped_within(THINK_SECONDS)

    async def _stopped_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _answered(self, method: str, path: str, **options: object) -> httpx.Response:
        """Again and again while the answer gives leave to."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    answer = await self.gateway.send(method, path, **options)
                except (httpx.TransportError, NoServerError) as error:
                    if not self.lossy:
                        raise ViolationError("a restart is not noticed", f"{method} {path}: {error!r}") from error
                    self.troubles[type(error).__name__] += 1
                else:
                    if answer.is_success:
                        return answer
                    if answer.status_code != 503 or "Retry-After" not in answer.headers:
                        raise ViolationError("reads and commands go on", f"{answer.status_code}: {answer.text}")
                    self.troubles[answer.json()["code"]] += 1
                await self.bell.wait(TRY_AGAIN_SECONDS)


def check_said(history: Sequence[Fact], crowd: Crowd) -> None:
    """What was acknowledged is there, once, in its stream and at its version; whatever else was asked is there once at the most."""
    remarks = [fact for fact in history if fact.type_name == "opportunity.commented"]
    effects = Counter(str(fact.data["text"]) for fact in remarks)
    for text, times in effects.items():
        if text not in crowd.asked.values():
            raise ViolationError("nothing comes from nowhere", f"nobody said {text!r}")
        if times != 1:
            raise ViolationError("one effect per key", f"{text!r} is there {times} times")
    at = {(fact.stream, fact.version): fact.data["text"] for fact in remarks}
    for said in crowd.said:
        if at.get((said.stream, int(said.etag.strip('W/"')))) != said.text:
            raise ViolationError("acknowledged is durable", f"{said} is not there")
