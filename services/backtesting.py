"""`keyfold backtest`: what a gate would have done to what is on record, from the command line."""

from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from services import console
from services.console import CommandError
from services.installation import open_installation, service_database
from services.opportunity.app import SERVICE
from services.opportunity.backtesting.run import Ask, run, stored
from services.opportunity.domain.gates.rule import faults_of
from shared.contracts.opportunity import GateRule
from shared.kit.clock import SystemClock
from shared.kit.settings import Settings


async def backtest(
    settings: Settings, gate: str | None, version: int | None, file: Path | None, days: tuple[date | None, date | None],
    json: bool,
) -> None:  # fmt: skip
    """A stored gate, or a rule in a file (YAML or JSON). Raises CommandError."""
    if (gate is None) == (file is None):
        raise CommandError("name one rule to try: the key of a gate, or --rule with a file")
    first, last = days
    if first is not None and last is not None and last < first:
        raise CommandError(f"{first} to {last} is no period")
    calendar = settings.calendar
    since = None if first is None else calendar.start_of_day(first)
    until = None if last is None else calendar.end_of_day(last)
    async with open_installation(settings) as installation:
        dsn = installation.server.database(service_database(SERVICE.name))
        rule, number = (_read(file), None) if file is not None else await _stored(dsn, str(gate), version)
        ask = Ask.of(rule, calendar, gate=gate, version=number, since=since, until=until)
        with console.progress("back-test") as advance:

            async def progress(done: int, total: int) -> None:
                advance(done, total)

            result = await run(dsn, ask, SystemClock().now(), progress)
    if json:
        console.as_json(result)
        return
    console.lines(f"{result['looked_at']} opportunities looked at")
    for side, said in (("fired", "It would have fired on"), ("passed", "It had nothing to say of")):
        counted = result[side]
        console.show(f"{said} {counted['opportunities']} opportunities ({counted['acts']} acts)", _rows(counted))


def _rows(side: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"outcome": outcome, "currency": currency, "count": count, "minor": minor}
        for outcome, sums in side["outcomes"].items()
        for currency, (count, minor) in sums.items()
    ]


async def _stored(dsn: str, gate: str, version: int | None) -> tuple[GateRule, int]:
    versions = await stored(dsn, gate)
    if not versions:
        raise CommandError(f"there is no gate {gate!r}; `GET /gates` lists them")
    number = version or len(versions)
    if number > len(versions):
        raise CommandError(f"gate {gate} has no version {number}, only 1 to {len(versions)}")
    return versions[number - 1].rule, number


def _read(file: Path) -> GateRule:
    try:
        rule = GateRule.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise CommandError(f"{file} holds no rule: {error}") from None
    if faults := [f"{fault.field}: {fault.message}" for fault in faults_of(rule)]:
        raise CommandError(f"{file}: " + "; ".join(faults))
    return rule
