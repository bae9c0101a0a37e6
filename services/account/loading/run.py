"""Carrying out many commands that may name each other as parents: parents first, each a command of its own."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from services.account.domain.values import Command
from services.account.loading.order import in_order
from shared.contracts.refusal import RefusedError, refuse
from shared.eventstore.commands import CommandContext, Decide, Outcome
from shared.web.commanding import Commander
from shared.web.problems import bad_request

Result = Outcome | Exception


@dataclass(frozen=True)
class Item:
    """`number`: its place for whoever sent it, put behind the idempotency key. `key`: what other items can name it by.

    `decide`: from the command, which in a dry run may have lost a parent that would only be made by the same load.
    """

    number: int
    body: Command
    decide: Callable[[Command], Decide]
    key: Hashable | None = None
    parent: Hashable | None = None


async def run_items(command: Commander, items: Sequence[Item]) -> list[Result]:
    """Per item its outcome or its error, in the order of the items. Raises ProblemError 400 for `If-Match`."""
    if command.context.if_match is not None:
        raise bad_request(
            "if_match_of_many", "If-Match is about one thing, this is about many", field="If-Match", expected="none"
        )
    order = in_order([item.key for item in items], [item.parent for item in items])
    results: list[Result] = [_circle() for _ in items]
    would_be: set[Hashable] = set()
    for wave in order.waves:
        chosen = [items[place] for place in wave]
        commands = []
        for item in chosen:
            body = item.body
            if item.parent is not None and item.parent in would_be:
                body = body.model_copy(update={"parent": None})
            said = {"path": command.path, "body": item.body.model_dump(mode="json", exclude_unset=True)}
            commands.append((_context(command, item), said, item.decide(body)))
        lanes = [(item.number,) if item.key is None else item.key for item in chosen]
        outcomes = await command.backend.commands.run_many(commands, lanes)
        for place, item, outcome in zip(wave, chosen, outcomes, strict=True):
            results[place] = outcome
            if isinstance(outcome, Outcome) and outcome.dry_run and outcome.answer.get("created"):
                would_be.add(item.key)
    return results


def _context(command: Commander, item: Item) -> CommandContext:
    key = command.context.command_id
    command_id = None if key is None else f"{key}/{item.number}"
    return replace(command.context, command_id=command_id, occurred_at=item.body.occurred_at)


def _circle() -> RefusedError:
    return refuse("cycle", "the parents that are named here lead round in a circle", field="parent")
