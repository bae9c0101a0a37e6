"""What operators are told: whether a rebuild was switched to, what is parked and where it failed, who is behind."""

import getpass
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import text

from services import console, lagging, upkeep
from services.console import CommandError
from services.installation import Server, service_database
from services.lagging import show_lag
from shared.contracts.event import Recorded
from shared.kit.settings import Settings
from shared.log.open import open_log
from shared.projections import tables
from shared.scheduler.due import schedule
from shared.service.backend import open_engine
from shared.service.definition import Service
from tests.shared.projections.spine import Spine
from tests.shared.projections.visits import VISITS, VisitHeld, VisitPlanned, recorded, seller_load, visit, visit_list

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
    for module in (upkeep, lagging):
        monkeypatch.setattr(module, "SERVICES", {name: service})
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


def _line(text_: str, wanted: str) -> str:
    return next(line for line in text_.splitlines() if wanted in line)


async def test_a_parked_stream_is_listed_whole_with_the_place_and_the_command_to_go_on(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.screen, "_width", 80)
    name = "a-visit-whose-name-is-longer-than-half-of-a-line-of-a-terminal"
    bad = [replace(fact, stream_id=f"visit-{name}") for fact in BAD]
    await house.fold(*bad)
    await upkeep.list_parked(house.settings, json=False)
    said = capsys.readouterr().out
    assert _line(said, "visit_list (").endswith(f"generation 1, live): visit-{name}")
    assert "  ValueError: a visit cannot last less than no time (at tests/shared/projections/visits.py:" in said
    assert f"  keyfold parked show {house.name} visit_list visit-{name}" in said.splitlines()
    await upkeep.show_parked(house.settings, house.name, "visit_list", f"visit-{name}", json=True)
    first, second = json.loads(capsys.readouterr().out)
    assert (first["generation"], first["state"], first["position"]) == (1, "live", 2)
    assert first["place"].startswith("tests/shared/projections/visits.py:")
    assert (second["error"], second["place"]) == ("queued behind", None)


async def test_a_replay_that_fails_again_is_told_with_its_place(house: House) -> None:
    await house.fold(*BAD)
    with pytest.raises(CommandError, match=r"visit-a still cannot be taken.*less than no time \(at tests/.*visits.py:"):
        await upkeep.replay_parked(house.settings, house.name, "visit_list", "visit-a")


async def test_a_generation_with_other_tables_does_not_hold_up_a_replay(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.fold(*BAD)
    await house.run("UPDATE projection.generation SET shape = 'other'")
    assert await house.rebuild(accept=True) is True
    replay = partial(upkeep.replay_parked, house.settings, house.name, "visit_list", "visit-a")
    with pytest.raises(CommandError, match="still cannot be taken"):  # in the new one, which has these tables
        await replay()
    await upkeep.drop_parked(house.settings, house.name, "visit_list", "visit-a", 2, "typing error", "zhao")
    capsys.readouterr()
    await replay()
    assert capsys.readouterr().out == "visit_list: 1 event of visit-a replayed\n"
    with pytest.raises(CommandError, match=r"visit-a is parked only in generation 1 \(old\), which has other tables"):
        await replay()
    assert [(row["visit_id"], row["minutes"]) for row in await house.spine.rows(visit_list, visit)] == [("a", 5)]


async def test_what_is_not_parked_and_who_is_not_there_is_said(house: House) -> None:
    for command in (upkeep.replay_parked, partial(upkeep.show_parked, json=False)):
        with pytest.raises(CommandError, match="visit_list: visit-z is not parked"):
            await command(house.settings, house.name, "visit_list", "visit-z")
        with pytest.raises(CommandError, match="no read model 'visit_lits'; there are visit_list, seller_load"):
            await command(house.settings, house.name, "visit_lits", "visit-z")


async def test_what_was_given_up_stays_so_through_a_rebuild_and_is_listed(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.fold(*BAD)
    drop = partial(upkeep.drop_parked, house.settings, house.name, "visit_list", "visit-a", 2, "typing error")
    await drop("zhao")
    await upkeep.replay_parked(house.settings, house.name, "visit_list", "visit-a")
    assert await house.rebuild() is True
    assert await house.rebuild() is True  # the generation in which it was dropped is gone
    assert [(row["visit_id"], row["minutes"]) for row in await house.spine.rows(visit_list, visit)] == [("a", 5)]
    assert await house.spine.rows_in(tables.parked) == []
    capsys.readouterr()
    await upkeep.list_dropped(house.settings, json=True)
    [row] = json.loads(capsys.readouterr().out)
    assert (row["position"], row["stream_id"], row["reason"], row["by"]) == (2, "visit-a", "typing error", "zhao")


async def test_who_gives_an_event_up_is_by_default_the_login(house: House) -> None:
    await house.fold(*BAD)
    await upkeep.drop_parked(house.settings, house.name, "visit_list", "visit-a", 2, "typing error", None)
    assert [row["actor"] for row in await house.spine.rows_in(tables.dropped)] == [getpass.getuser()]


async def test_lag_tells_states_notes_and_changed_tables(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    await house.fold(*FACTS)
    assert await house.rebuild() is True
    capsys.readouterr()
    async with house.spine.running(visit_list):
        await show_lag(house.settings, json=True)
    rows = {row["reader"]: row for row in json.loads(capsys.readouterr().out)}
    states = {reader: row["state"] for reader, row in rows.items()}
    assert states == {
        "relay": "relay",
        "visit_list_g1": "old",
        "visit_list_g2": "live",
        "seller_load_g1": "live",
        "due dates": "due",
    }
    assert {(row["alarms"], row["notes"]) for row in rows.values()} == {("", "")}


async def test_lag_holds_everything_against_the_thresholds(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    async def statuses(settings: Settings, *, ok: bool) -> dict[str, str]:
        capsys.readouterr()
        assert await show_lag(settings, json=True) is ok
        return {row["reader"]: row["status"] for row in json.loads(capsys.readouterr().out)}

    await house.fold(*FACTS)
    assert set((await statuses(house.settings, ok=False)).values()) == {"stopped"}, "nobody works"
    async with house.spine.running(visit_list, seller_load):
        assert set((await statuses(house.settings, ok=True)).values()) == {"ok"}
        away = house.settings.model_copy(update={"log_url": SecretStr("kafka://127.0.0.1:1")})
        assert await statuses(away, ok=False) == {
            "relay": "ok", "visit_list_g1": "unknown", "seller_load_g1": "unknown", "due dates": "ok",
        }  # fmt: skip
        async with house.spine.engine.begin() as connection:
            await schedule(connection, "review", "visit-a", datetime.now(UTC) - timedelta(hours=1))
        assert (await statuses(house.settings, ok=False))["due dates"] == "late"
    await house.spine.publish(recorded(*(("a", VisitHeld(minutes=1)),) * 6)[4:])
    async with house.spine.running(visit_list):
        await house.spine.seen(visit_list)
        found = await statuses(house.settings, ok=False)
    assert (found["visit_list_g1"], found["seller_load_g1"]) == ("ok", "late")


async def test_a_log_that_is_away_is_said(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    away = house.settings.model_copy(update={"log_url": SecretStr("kafka://127.0.0.1:1")})
    await show_lag(away, json=False)
    said = capsys.readouterr()
    assert "The log is away, so what readers have still to take is not known" in said.err
    assert "relay" in said.out
