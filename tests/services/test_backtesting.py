"""`keyfold backtest`: a rule tried from the command line."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from services import backtesting
from services.backtesting import backtest
from services.console import CommandError
from services.installation import Server, service_database
from services.opportunity.app import SERVICE, seed
from services.opportunity.commands import anyone, change, open_opportunity
from services.opportunity.domain.opportunity.opening import OpenOpportunity
from services.opportunity.domain.opportunity.progress import SkipStage
from shared.contracts.opportunity import CONTRACT
from shared.eventstore.commands import CommandContext, Commands, Work
from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.eventstore.types import JsonObject
from shared.kit.clock import FixedClock
from shared.kit.ids import new_id
from shared.kit.settings import Settings

NOW = datetime(2017, 3, 31, 1, 0, tzinfo=UTC)
EVER = (None, None)
RULE = """
names: {en: No skipping}
guards: [{act: stage_skipped}]
requires: {fact: amount, test: known}
mode: warn
message: {en: Say what it is worth}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def settings(postgres: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Settings]:
    """Of an installation in which one opportunity, without an amount, has skipped a stage."""
    name = f"tried_{uuid4().hex[:12]}"
    monkeypatch.setattr(backtesting, "SERVICE", replace(SERVICE, name=name))
    server = Server(postgres)
    dsn = await server.create(service_database(name))
    try:
        await migrate_store(dsn)
        store = await EventStore.open(dsn, CONTRACT)
        clock = FixedClock(NOW)
        commands = Commands(store, b"secret", clock)
        await seed(commands, clock)
        await commands.run(CommandContext("tester", NOW, new_id()), {}, _skipped)
        await store.close()
        yield Settings(database_url=SecretStr(postgres), log_url=SecretStr(dsn), data=tmp_path)
    finally:
        admin = await asyncpg.connect(postgres)
        await admin.execute(f'DROP DATABASE "{service_database(name)}" WITH (FORCE)')
        await admin.close()


async def _skipped(work: Work) -> JsonObject:
    opened = await open_opportunity(work, OpenOpportunity(name="Line 3"), anyone)
    return await change(work, opened["opportunity_id"], [SkipStage(stage=1, reason="call-off")], anyone)


async def test_a_rule_in_a_file_is_tried(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rule.yaml"
    file.write_text(RULE)
    await backtest(settings, None, None, file, EVER, json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["looked_at"], told["fired"]["opportunities"]) == (1, 1)
    await backtest(settings, None, None, file, (date(2018, 1, 1), None), json=False)
    assert "It would have fired on 0 opportunities (0 acts)" in capsys.readouterr().out


async def test_a_stored_gate_is_tried(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    await backtest(settings, "win_on_record", None, None, EVER, json=True)
    assert json.loads(capsys.readouterr().out)["fired"]["opportunities"] == 0


async def test_what_cannot_be_tried_is_said(settings: Settings, tmp_path: Path) -> None:
    wrong, broken = tmp_path / "wrong.yaml", tmp_path / "broken.yaml"
    wrong.write_text(RULE.replace("amount", "nonsense"))
    broken.write_text("names: [")
    for gate, version, file, said in (
        (None, None, None, "name one rule to try"),
        ("win_on_record", None, wrong, "name one rule to try"),
        ("nonsense", None, None, "there is no gate 'nonsense'"),
        ("win_on_record", 9, None, "has no version 9"),
        (None, None, wrong, "there is no fact 'nonsense'"),
        (None, None, broken, "holds no rule"),
    ):
        with pytest.raises(CommandError, match=said):
            await backtest(settings, gate, version, file, EVER, json=True)
