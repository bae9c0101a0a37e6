"""Where an installation's databases and its log are: named in the settings, or embedded below the data folder."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.files.open import open_files
from shared.files.port import Files
from shared.kit.figures import Figures
from shared.kit.postgres_server import find_postgres, start_postgres
from shared.kit.settings import Settings
from shared.kit.tracing import OFF, Tracing
from shared.log.open import open_log
from shared.log.port import Log
from shared.service.backend import API, Backend, Connections, migrate_service, open_backend
from shared.service.definition import Service
from shared.web.auth import RemoteKeys, Verifier
from shared.web.own_issuer import ISSUER, OwnIssuer

LOG_DATABASE = "keyfold_log"


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL server by the URL of any of its databases, in asyncpg's form."""

    url: str

    def database(self, name: str) -> str:
        """The URL of the database of this name on the server."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(scheme="postgresql", path=f"/{name}"))

    async def create(self, name: str) -> str:
        """Make the database if it is missing; its URL. Needs the right to create databases only when it is missing.

        Its locale is C on every server: lists then have one order everywhere, and no upgrade of the system unsorts an index.
        """
        url = self.database(name)
        try:
            connection = await asyncpg.connect(url)
        except asyncpg.InvalidCatalogNameError:
            admin = await asyncpg.connect(self.url)
            try:
                quoted = '"' + name.replace('"', '""') + '"'
                await admin.execute(f"CREATE DATABASE {quoted} ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0")
            except asyncpg.DuplicateDatabaseError:
                pass  # another process was quicker: all the same
            finally:
                await admin.close()
            return url
        await connection.close()
        return url


def service_database(service: str) -> str:
    return f"keyfold_{service}"


@dataclass(frozen=True)
class Installation:
    """`alone`: the database server was started by this process, so nobody else works on it."""

    settings: Settings
    server: Server
    log: Log
    files: Files
    secret: bytes
    alone: bool

    def backend(
        self, service: Service, connections: Connections = API, tracing: Tracing = OFF
    ) -> AbstractAsyncContextManager[Backend]:
        return open_backend(
            service,
            self.server.database(service_database(service.name)),
            self.log,
            self.secret,
            self.settings.calendar,
            store_connections=connections.store,
            read_connections=connections.reads,
            files=self.files,
            largest_file=self.settings.files_largest,
            tracing=tracing,
        )

    async def migrate(self, service: Service) -> None:
        """Its database, topics, read models and seed; what is there already stays as it is."""
        dsn = await self.server.create(service_database(service.name))
        await migrate_service(service, dsn, self.log, self.secret, self.settings.calendar)

    def verifier(self, figures: Figures | None = None) -> Verifier:
        """`figures`: where failures of the issuer are counted."""
        settings = self.settings
        if settings.issuer is None:
            return Verifier(self.own_issuer(), ISSUER, settings.audience)
        keys = RemoteKeys(settings.issuer, settings.jwks_url, figures=figures)
        return Verifier(keys, settings.issuer, settings.audience, settings.roles_claim, settings.subject_claim)

    def own_issuer(self) -> OwnIssuer:
        return OwnIssuer.open(self.settings.data)


@asynccontextmanager
async def open_installation(settings: Settings) -> AsyncIterator[Installation]:
    """The servers that the settings name; without a database, the embedded one: that of a running `keyfold up`, or our own.

    Raises PostgresUnavailable.
    """
    async with AsyncExitStack() as stack:
        alone = False
        if settings.database_url is not None:
            server = Server(settings.database_url.get_secret_value())
        else:
            folder = settings.data / "postgres"
            dsn = find_postgres(folder)
            if dsn is None:
                own = start_postgres(folder)
                stack.callback(own.stop)
                dsn, alone = own.dsn(), True
            server = Server(dsn)
        if settings.log_url is not None:
            log = open_log(settings.log_url.get_secret_value())
        else:
            log = open_log(await server.create(LOG_DATABASE))
        stack.push_async_callback(log.close)
        yield Installation(settings, server, log, _files(settings), _secret(settings), alone)


def _files(settings: Settings) -> Files:
    url = settings.files_url or (settings.data / "files").absolute().as_uri()
    if settings.files_key is None or settings.files_secret is None:
        return open_files(url)
    return open_files(url, settings.files_key.get_secret_value(), settings.files_secret.get_secret_value())


def _secret(settings: Settings) -> bytes:
    """The key of the hash of commands' inputs; the embedded form keeps one of its own."""
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    return _kept_secret(settings.data / "secret")


def _kept_secret(file: Path) -> bytes:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    return file.read_text().strip().encode()
