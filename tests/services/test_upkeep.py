"""What operators are told: whether a rebuild was switched to, what is parked and where it failed, who is behind."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import text

from services import upkeep
from services.installation import Server, service_database
from shared.contracts.event import Recorded
from shared.kit.settings import Settings
from shared.log.open import open_log
from shared.service.backend import open_engine
from shared.service.definition import Service
from tests.shared.projections.spine import Spine
from tests.shared.projections.visits import VISITS, VisitHeld, VisitPlanned, recorded, seller_load, visit_list

SECRET = "a secret of this test only"
FACTS = recorded(
    ("a", VisitPlanned(seller="wang")),
    ("b", VisitPlanned(seller="li")),
    ("a", VisitHeld(minutes=30)),
    ("b", VisitHeld(minutes=20)),
)
BAD = recorded(("a", VisitPlanned(seller="wang")), ("a", VisitHeld(minutes=-1)), ("a", VisitHeld(minutes=5)))


async def _finds(*_: Any) -> Any:
    raise AssertionError("nobody asks for records here")


@dataclass
class House:
    """An installation of one service, `name`, with a spine to publish and fold on."""

    name: str
    settings: Settings
    spine: Spine

    async def fold(self, *records: Recorded[Any]) -> None:
        await self.spine.publish(records)
        async with self.spine.running(visit_list, seller_load):
            await self.spine.seen(visit_list, seller_load)

    async def run(self, statement: str) -> None:
        async with self.spine.engine.begin() as connection:
            await connection.execute(text(statement))

    async def rebuild(self, *, accept: bool = False, keep: bool = True, json: bool = False) -> bool:
        return await upkeep.rebuild_projections(self.settings, self.name, "visit_list", accept, keep=keep, json=json)


@pytest_asyncio.fixture(loop_scope="session")
async def house(postgres: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> AsyncIterator[House]:
    name = f"visits_{uuid4().hex[:12]}"
    monkeypatch.setattr(VISITS, "topic", f"keyfold.{name}.events")
    service = Service(name, "Visits", "", VISITS, (visit_list, seller_load), (), _finds, ())
    monkeypatch.setattr(upkeep, "SERVICES", {name: service})
    server = Server(postgres)
    dsn = server.database(service_database(name))
    settings = Settings(
        database_url=SecretStr(postgres), log_url=SecretStr(dsn), secret=SecretStr(SECRET), data=tmp_path
    )
    await server.create(service_database(name))
    engine, log = open_engine(dsn, 4), open_log(dsn)
    try:
        await upkeep.migrate_all(settings, name)
        yield House(name, settings, Spine(engine, log))
    finally:
        await log.close()
        await engine.dispose()
        admin = await asyncpg.connect(postgres)
        await admin.execute(f'DROP DATABASE "{service_database(name)}" WITH (FORCE)')
        await admin.close()


async def test_a_rebuild_that_was_not_switched_to_says_so_and_how_to_go_on(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.fold(*FACTS)
    await house.run("UPDATE visit_list_g1.visit SET minutes = 1")
    assert await house.rebuild() is False
    said = capsys.readouterr()
    assert "Rebuilt" not in said.out
    assert "visit_list: not switched: 2 rows differ; --accept-differences when that is meant" in said.err
    assert await house.rebuild(json=True) is False
    [row] = json.loads(capsys.readouterr().out)
    assert (row["rows_differing"], row["generation"]) == (2, None)
    assert await house.rebuild(accept=True) is True
    assert "not switched" not in capsys.readouterr().err


async def test_a_verification_that_had_to_park_events_has_failed(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.fold(*BAD)
    assert await house.rebuild(keep=False) is False
    assert "visit_list: 2 events could not be folded or waited behind such a one" in capsys.readouterr().err
