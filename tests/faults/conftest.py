"""Scenes for the faults, and the seed: said at the start and with every failure."""

import asyncio
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults import chaos as dice
from tests.faults.chaos import Chaos
from tests.faults.installation import Server, Town, issuer, settings_of
from tests.faults.processes import Processes
from tests.faults.scene import Scene, open_scene

FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session", autouse=True)
def seed(request: pytest.FixtureRequest) -> int:
    chosen = dice.chosen_seed()
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    if reporter is not None and capture is not None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"faults: {dice.SEED}={chosen}")
    return chosen


@pytest.fixture
def chaos(request: pytest.FixtureRequest, seed: int) -> Generator[Chaos, None, None]:
    made = Chaos(seed, request.node.name)
    yield made
    made.write_figures(violated=request.node.stash.get(FAILED, False))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and "seed" in getattr(item, "fixturenames", ()):
        item.stash[FAILED] = True
        report.sections.append(("to throw the same dice", f"{dice.SEED}={dice.chosen_seed()} pytest '{item.nodeid}'"))
    return report


@pytest_asyncio.fixture(loop_scope="session")
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    """What still runs at the end is killed."""
    made = Processes(tmp_path)
    yield made
    await made.clear_away()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(database: str, chaos: Chaos, processes: Processes) -> AsyncIterator[Scene]:
    """On the log in PostgreSQL."""
    async with open_scene(database, database, chaos, processes) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def kafka_scene(database: str, kafka: str, chaos: Chaos, processes: Processes) -> AsyncIterator[Scene]:
    async with open_scene(database, f"kafka://{kafka}", chaos, processes) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = await asyncio.to_thread(Server, tmp_path / "postgres")
    yield made
    await asyncio.to_thread(made.stop)


@pytest_asyncio.fixture(loop_scope="session")
async def town(server: Server, processes: Processes, tmp_path: Path) -> AsyncIterator[Town]:
    """The opportunity service, migrated; no process of it runs yet."""
    with issuer() as jwks_url:
        made = Town(server, processes, settings_of(server, jwks_url, tmp_path))
        await made.create_database("keyfold_log")
        await made.migrate()
        yield made
        await processes.clear_away()
