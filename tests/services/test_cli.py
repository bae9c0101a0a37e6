"""The command line as operators meet it: processes of their own that end with a sentence and an exit code."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.openapi import openapi_documents
from shared.contracts.tooling import contracts_command
from shared.eventstore.migrate import LOCK
from shared.kit.postgres_server import start_postgres

KEYFOLD = Path(sys.executable).with_name("keyfold")
SECONDS = 60.0


async def start(
    *arguments: str, command: Sequence[str | Path] = (KEYFOLD,), **settings: str
) -> asyncio.subprocess.Process:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KEYFOLD_")}
    return await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        env=clean | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Whoever runs the tests in the background has interrupts ignored, and so would every child.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_database_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    url = "postgresql://somebody:whose-password@nowhere.invalid/postgres"
    code, out, err = await ended(await start("lag", KEYFOLD_DATABASE_URL=url, KEYFOLD_DATA=str(tmp_path)))
    assert (code, out) == (1, "")
    assert "the database server of KEYFOLD_DATABASE_URL (nowhere.invalid:5432) cannot be used" in err
    assert "Traceback" not in err
    assert "whose-password" not in err


async def test_a_login_that_the_server_does_not_know_is_told_in_a_sentence(postgres: str, tmp_path: Path) -> None:
    parts = urlsplit(postgres)
    url = urlunsplit(parts._replace(netloc=f"nobody_of_this_name@{parts.netloc.rpartition('@')[2]}"))
    code, _, err = await ended(await start("lag", KEYFOLD_DATABASE_URL=url, KEYFOLD_DATA=str(tmp_path)))
    assert code == 1
    assert "cannot be used: " in err
    assert "nobody_of_this_name" in err
    assert "Traceback" not in err


async def test_ctrl_c_ends_a_command_with_a_sentence(tmp_path: Path) -> None:
    server = await asyncio.to_thread(start_postgres, tmp_path / "data" / "postgres")
    try:
        maintenance = await asyncpg.connect(server.dsn())
        await maintenance.execute("CREATE DATABASE keyfold_account TEMPLATE template0")
        holder = await asyncpg.connect(server.dsn("keyfold_account"))
        await holder.execute("SELECT pg_advisory_lock($1)", LOCK)  # what a migration waits for
        process = await start("migrate", KEYFOLD_DATA=str(tmp_path / "data"), KEYFOLD_LOG_LEVEL="error")
        async with asyncio.timeout(SECONDS):
            while not await holder.fetchval(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            ):
                assert process.returncode is None
        process.send_signal(signal.SIGINT)
        code, _, err = await ended(process)
        await holder.close()
        await maintenance.close()
    finally:
        await asyncio.to_thread(server.stop)
    assert code == 130, err
    assert err.strip() == "Stopped before the end; what was acknowledged is kept; run it again to go on."


def test_the_verdict_on_contracts_comes_once_and_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert contracts_command(True, problems=openapi_documents(True, tmp_path)) == 1
    said = capsys.readouterr().out
    assert "opportunity.json is out of date" in said
    assert "Everything is up to date" not in said


async def test_it_can_be_run_as_a_module() -> None:
    code, out, _ = await ended(await start("--help", command=(sys.executable, "-m", "services.cli")))
    assert code == 0
    assert "Keyfold: an event-sourced backend" in out
