"""One effect per key, for ever: the answer is lost, the process dies, everything dies; whoever asks again, wherever, gets the
first answer, and another input under the same key is refused.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.faults.chaos import PATIENCE, Chaos
from tests.faults.checker import ViolationError
from tests.faults.installation import Town, post_and_hang_up

Violence = Callable[["Client", int, "Command"], Awaitable[None]]


@dataclass(frozen=True)
class Command:
    key: str
    path: str
    body: dict[str, Any]

    @property
    def text(self) -> str:
        return str(self.body.get("text") or self.body["name"])


@dataclass
class Client:
    town: Town
    chaos: Chaos
    ports: list[int]

    async def ask(self, port: int, command: Command) -> httpx.Response:
        """Again and again, until somebody answers."""
        async with self.town.client(port) as client, asyncio.timeout(PATIENCE):
            while True:
                try:
                    answer = await client.post(
                        command.path, json=command.body, headers={"Idempotency-Key": command.key}
                    )
                except httpx.TransportError:
                    await self.town.processes.bell.wait(0.1)
                    continue
                if answer.status_code < 500:
                    return answer
                if answer.status_code != 503:
                    raise ViolationError("a fault is told as 503", f"{answer.status_code}: {answer.text}")
                await self.town.processes.bell.wait(0.1)

    def other(self, port: int) -> int:
        return self.chaos.pick([one for one in self.ports if one != port])

    async def revive(self, port: int) -> None:
        await self.town.apis[port].ended()
        await self.town.serve(port)


async def hang_up(client: Client, port: int, command: Command) -> None:
    await post_and_hang_up(port, command.path, command.body, command.key)


async def hang_up_while_another_asks(client: Client, port: int, command: Command) -> None:
    other = client.ask(client.other(port), command)
    _, answer = await asyncio.gather(hang_up(client, port, command), other)
    assert answer.is_success, answer.text


async def kill_the_process(client: Client, port: int, command: Command) -> None:
    await hang_up(client, port, command)
    client.chaos.kill(client.town.apis[port])
    await client.revive(port)


async def kill_everything(client: Client, port: int, command: Command) -> None:
    await hang_up(client, port, command)
    await asyncio.to_thread(client.chaos.kill, client.town.server)
    for api in client.ports:
        client.chaos.kill(client.town.apis[api])
    await asyncio.to_thread(client.town.server.start)
    for api in client.ports:
        await client.revive(api)


OFTEN: list[Violence] = [*[hang_up_while_another_asks] * 6, *[hang_up] * 4]


async def test_a_command_has_one_effect_and_one_answer_whatever_dies(town: Town, chaos: Chaos) -> None:
    client = Client(town, chaos, [await town.serve(), await town.serve()])
    first = Command(
        "opened", "/opportunities", {"name": "Substation", "amount": {"minor": 5_000_00, "currency": "CNY"}}
    )
    opened = await client.ask(client.ports[0], first)
    assert opened.status_code == 201, opened.text
    path = f"/opportunities/{opened.json()['id']}/comments"
    violence = [*OFTEN, kill_the_process, kill_everything] * chaos.strength
    chaos.dice.shuffle(violence)
    commands = [Command(f"key-{n}", path, {"text": f"remark {n}."}) for n in range(len(violence))]
    commands[-1] = Command("late", "/opportunities", {"name": "Second substation"})
    for command, act in zip(commands, violence, strict=True):
        await act(client, chaos.pick(client.ports), command)
    for command in [first, *commands]:
        await _check(client, command)
    assert (await client.ask(client.ports[1], first)).json() == opened.json()


async def _check(client: Client, command: Command) -> None:
    answers = [await client.ask(port, command) for port in (*client.ports, client.ports[0])]
    client.chaos.acks += len(answers)
    told = {
        (answer.status_code, answer.text, *map(answer.headers.get, ("Keyfold-Position", "ETag", "Location")))
        for answer in answers
    }
    if len(told) != 1 or not answers[0].is_success:
        raise ViolationError("the same answer, for ever", f"{command.key} was answered {told}")
    if (effects := await client.town.holding(command.text)) != 1:
        raise ViolationError("one effect per key", f"{command.key} has {effects}")
    changed = Command(command.key, command.path, command.body | {"occurred_at": "2017-03-31T09:00:00+08:00"})
    refused = await client.ask(client.ports[0], changed)
    if refused.status_code != 422:
        raise ViolationError("another input is refused", f"{command.key}: {refused.status_code} {refused.text}")
    client.chaos.checked += 1
