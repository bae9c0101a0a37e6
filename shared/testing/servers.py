"""Real servers for tests, as pytest fixtures: `postgres`, `database`, `databases`, `kafka`, `kafka_broker`, `issuer`.

PostgreSQL: KEYFOLD_DATABASE_URL if set, else a server of the test session's own.
Kafka: KEYFOLD_KAFKA if set · Docker, if its daemon answers · a broker started from the official jars, if java
and mvn are here · otherwise the tests are skipped, said loudly at the end; with KEYFOLD_REQUIRE_KAFKA=1 they
fail.
Issuer: a Keycloak of Maven Central, if java and mvn are here · otherwise the same, with KEYFOLD_REQUIRE_ISSUER=1.
"""

import gc
import importlib.util
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from shared.kit.postgres_server import start_postgres

BROKER_FILE = Path(__file__).parents[2] / "deploy" / "kafka" / "broker.py"
ISSUER_FILE = Path(__file__).parents[2] / "deploy" / "keycloak" / "server.py"
KAFKA_IMAGE = "confluentinc/cp-kafka:7.9.0"  # testcontainers starts the broker by a script of this image
KAFKA_ENVIRONMENT = {
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
}
BY_IMAGE, BY_JARS = "Docker", "the local broker from the official jars"

Databases = Callable[[str], Awaitable[str]]


class NoKafka(Exception):
    """There is no broker by this way; the message says why."""


class NoIssuer(Exception):
    """Keycloak cannot be started; the message says why."""


# --- PostgreSQL


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of the server's maintenance database; the tests make their own beside it."""
    given = os.environ.get("KEYFOLD_DATABASE_URL")
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="keyfold-postgres-"))
    server = start_postgres(folder)
    try:
        yield server.dsn("postgres")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(loop_scope="session")
async def database(postgres: str) -> AsyncIterator[str]:
    """A fresh, empty database; its address."""
    async with _temporary_database(postgres, "test") as dsn:
        yield dsn


@pytest_asyncio.fixture(loop_scope="session")
async def databases(postgres: str) -> AsyncIterator[Databases]:
    """For a test that needs several: `await databases("orders")` is the address of a fresh one."""
    async with AsyncExitStack() as stack:
        made: dict[str, str] = {}

        async def named(name: str) -> str:
            if name not in made:
                made[name] = await stack.enter_async_context(_temporary_database(postgres, name))
            return made[name]

        yield named


@asynccontextmanager
async def _temporary_database(server: str, label: str) -> AsyncIterator[str]:
    letters = "".join(c if c.isascii() and c.isalnum() else "_" for c in label.lower())[:30]
    name = f"kf_{letters}_{uuid4().hex[:12]}"
    await _administer(server, f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        await _administer(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _administer(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


# --- Kafka


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap address of a real broker, one for the whole session: tests use topics of their own names."""
    given = os.environ.get("KEYFOLD_KAFKA")
    if given:
        yield given
        return
    reasons: list[str] = []
    for way, start in ((BY_IMAGE, _kafka_by_image), (BY_JARS, _kafka_by_jars)):
        with ExitStack() as stack:
            try:
                address = start(stack)
            except NoKafka as problem:
                reasons.append(f"{way}: {problem}")
                continue
            yield address
            return
    _no_kafka(reasons)


@pytest.fixture
def kafka_broker(tmp_path: Path) -> Iterator[Any]:
    """A broker of the test's own, not yet started, to be killed and restarted: `Broker` of deploy/kafka."""
    broker, reason = None, ""
    try:
        broker = _local_broker(tmp_path / "kafka")
    except NoKafka as problem:
        reason = str(problem)
    if broker is None:
        _no_kafka([f"{BY_JARS}: {reason}"])
    try:
        yield broker
    finally:
        broker.kill()


def _no_kafka(reasons: list[str]) -> NoReturn:
    text = "no Kafka broker (KEYFOLD_KAFKA is not set; " + "; ".join(reasons) + ")"
    if os.environ.get("KEYFOLD_REQUIRE_KAFKA") == "1":
        pytest.fail(f"{text}, and KEYFOLD_REQUIRE_KAFKA=1 forbids to go without", pytrace=False)
    pytest.skip(text)


def _kafka_by_image(stack: ExitStack) -> str:
    address, reason = "", ""
    with warnings.catch_warnings():
        # A client that finds no daemon leaves sockets open; they are collected here, not blamed on a test.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            address = _start_container(stack)
        except Exception as problem:  # noqa: BLE001 — docker, requests, testcontainers: each raises its own
            reason = _short(problem)
        gc.collect()
    if reason:
        raise NoKafka(reason)
    return address


def _start_container(stack: ExitStack) -> str:
    from docker.client import DockerClient
    from testcontainers.community.kafka import KafkaContainer

    client = DockerClient.from_env(timeout=5)
    stack.callback(client.close)
    client.ping()
    container = KafkaContainer(KAFKA_IMAGE).with_kraft()
    for name, value in KAFKA_ENVIRONMENT.items():
        container.with_env(name, value)
    stack.callback(container.stop)
    container.start()
    return str(container.get_bootstrap_server())


def _kafka_by_jars(stack: ExitStack) -> str:
    folder = Path(tempfile.mkdtemp(prefix="keyfold-kafka-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    broker = _local_broker(folder)
    stack.callback(broker.stop)
    return str(broker.start())


def _local_broker(folder: Path) -> Any:
    module = _broker_module()
    if missing := module.missing_tools():
        raise NoKafka(f"{' and '.join(missing)} not found")
    try:
        return module.Broker(folder, module.fetch_jars())
    except module.BrokerUnavailable as problem:
        raise NoKafka(_short(problem)) from problem


def _broker_module() -> ModuleType:
    return _script("keyfold_kafka_broker", BROKER_FILE, NoKafka)


def _script(name: str, file: Path, missing: type[Exception]) -> ModuleType:
    """A script of deploy/, beside the packages and there only in a checkout."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.exists():
        raise missing(f"{file} is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module


def _short(problem: Exception) -> str:
    return " ".join(str(problem).split())[:300] or type(problem).__name__


# --- issuer


@pytest.fixture(scope="module")
def issuer() -> Iterator[Any]:
    """A running `Keycloak` of deploy/keycloak. One test module asks for it, so that no two processes start one each."""
    folder = Path(tempfile.mkdtemp(prefix="keyfold-issuer-"))
    server, reason = None, ""
    try:
        server = _started_issuer(folder)
    except NoIssuer as problem:
        reason = str(problem)
    try:
        if server is None:
            _no_issuer(reason)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _started_issuer(folder: Path) -> Any:
    module = _script("keyfold_keycloak_server", ISSUER_FILE, NoIssuer)
    if missing := module.missing_tools():
        raise NoIssuer(f"{' and '.join(missing)} not found")
    try:
        server = module.Keycloak(folder, module.fetch())
        server.start()
    except module.KeycloakUnavailable as problem:
        raise NoIssuer(_short(problem)) from problem
    return server


def _no_issuer(reason: str) -> NoReturn:
    text = f"no issuer ({reason})"
    if os.environ.get("KEYFOLD_REQUIRE_ISSUER") == "1":
        pytest.fail(f"{text}, and KEYFOLD_REQUIRE_ISSUER=1 forbids to go without", pytrace=False)
    pytest.skip(text)


# --- said at the end of the run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for a broker is a Kafka test: `-m "not kafka"` leaves them out."""
    for item in items:
        if {"kafka", "kafka_broker"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("skipped", [])
    for what, words, remedy in (
        ("KAFKA", "no Kafka broker", "Install java 17 and mvn, start Docker, or name a broker in KEYFOLD_KAFKA."),
        ("ISSUER", "no issuer", "Install java 17 and mvn."),
    ):
        skipped = [report for report in reports if words in str(report.longrepr)]
        if skipped:
            terminalreporter.section(f"NOT TESTED: {what}", sep="!", red=True, bold=True)
            reason = _reason(skipped[0].longrepr)
            terminalreporter.line(f"{len(skipped)} skipped: {reason}")
            terminalreporter.line(remedy)


def _reason(outcome: object) -> str:
    text = str(outcome[2]) if isinstance(outcome, tuple) else str(outcome)
    return text.removeprefix("Skipped: ")
