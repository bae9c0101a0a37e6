"""`keyfold contracts`: what is published about events, made from their classes, and the guard over it.

Per service, under shared/contracts/<service>/:

- ``schemas/<name>.v<k>.json``: the JSON Schema of each version;
- ``examples/<name>.v<k>/*.json``: at least one example of each, kept for ever; today's code must decode it.
  Beside the example of an older version, ``<example>.expected.json`` holds what today's code makes of it;
- ``published.sha256``: fingerprints of them all (`sha256sum -c` reads it), so that none changes or vanishes unseen.

and for all services together ``asyncapi.yaml``, from the contracts and ``topics.yaml``.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

import shared.contracts
from shared.contracts.event import Contract
from shared.contracts.tooling.asyncapi import document
from shared.contracts.tooling.published import CONTRACTS_FOLDER, Plan, plan_service
from shared.contracts.tooling.topics import Topic, read_topics, topic_problems

__all__ = ["Plan", "check", "contracts_command", "discover", "generate", "plan"]

REPOSITORY = Path(__file__).parents[3]


def discover() -> list[Contract]:
    """The contracts of all services: each package under shared/contracts/ that has a `CONTRACT`."""
    found: list[Contract] = []
    for module in pkgutil.iter_modules(shared.contracts.__path__):
        if module.ispkg and module.name != "tooling":
            contract = getattr(importlib.import_module(f"shared.contracts.{module.name}"), "CONTRACT", None)
            if isinstance(contract, Contract):
                found.append(contract)
    return sorted(found, key=lambda one: one.service)


def plan(root: Path, contracts: Sequence[Contract]) -> Plan:
    """What would be written, and what is wrong and cannot be mended by writing. Writes nothing."""
    result = Plan()
    try:
        topics = read_topics(root)
    except ValueError as error:
        result.problems.append(str(error))
        topics = dict[str, Topic]()
    else:
        result.problems += topic_problems(topics, contracts)
    for contract in contracts:
        plan_service(root, contract, result)
    if not result.problems:  # the document describes what is published, not what is refused
        text = document(contracts, topics, result.versions).encode()
        result.write(root / CONTRACTS_FOLDER / "asyncapi.yaml", text)
    return result


def generate(root: Path, contracts: Sequence[Contract]) -> Plan:
    """Write what is missing or out of date below `root` (the repository); what `problems` name stays as it is."""
    result = plan(root, contracts)
    for path, content in result.writes.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return result


def check(root: Path, contracts: Sequence[Contract]) -> list[str]:
    """All that is wrong, also what `generate` would write; empty when the tree is clean."""
    result = plan(root, contracts)
    stale = [
        f"{path.relative_to(root)} is {'out of date' if path.exists() else 'missing'}: run `make contracts`"
        for path in result.writes
    ]
    return result.problems + stale


def contracts_command(
    check: bool,
    root: Path = REPOSITORY,
    contracts: Sequence[Contract] | None = None,
    console: Console | None = None,
    problems: Sequence[str] = (),
) -> int:
    """The command `keyfold contracts [--check]`: a table per service, then the problems, with those that were found elsewhere.
    Returns the exit code.
    """
    out = console or Console()
    known = discover() if contracts is None else contracts
    result = plan(root, known) if check else generate(root, known)
    table = Table("service", "events", "versions", "examples", title="Contracts", title_justify="left")
    for contract in known:
        versions = sum(len(result.versions[name]) for name in contract.events)
        table.add_row(
            contract.service, str(len(contract.events)), str(versions), str(result.examples[contract.service])
        )
    out.print(table)
    if result.writes:
        done = "are missing or out of date: run `make contracts`" if check else "written"
        out.print(f"{len(result.writes)} files {done}:")
        for path in result.writes:
            out.print(f"  {path.relative_to(root)}", markup=False, highlight=False, soft_wrap=True)
    found = [*result.problems, *problems]
    for problem in found:
        out.print(f"PROBLEM {problem}", markup=False, highlight=False, soft_wrap=True)
    if not found and not result.writes:
        out.print("Everything is up to date.")
    return 1 if found or (check and result.writes) else 0
