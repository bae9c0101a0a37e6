"""What a process has open: its engine's errors, and its migration run by two at once."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.kit.calendar import BusinessCalendar
from shared.log.open import open_log
from shared.service.backend import migrate_service, open_engine
from shared.testing.apps import SECRET
from tests.shared.web.desk import SERVICE


async def test_an_error_does_not_show_the_parameters(database: str) -> None:
    engine = open_engine(database, 1)
    try:
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError) as failed:
                await connection.execute(text("SELECT 1 / 0 WHERE :word = 'x' OR true"), {"word": "hunter2"})
    finally:
        await engine.dispose()
    assert "division by zero" in str(failed.value)
    assert "hunter2" not in str(failed.value)


async def test_two_processes_may_migrate_at_once(database: str) -> None:
    logs = [open_log(database), open_log(database)]
    try:
        await asyncio.gather(*(migrate_service(SERVICE, database, log, SECRET, BusinessCalendar()) for log in logs))
    finally:
        for log in logs:
            await log.close()
