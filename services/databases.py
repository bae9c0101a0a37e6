"""Where the databases are: one per service and one for the log, on one server or on several."""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import asyncpg


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL server by the URL of any of its databases, in asyncpg's form."""

    url: str

    def database(self, name: str) -> str:
        """The URL of the database of this name on the server."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(scheme="postgresql", path=f"/{name}"))

    async def create(self, name: str) -> str:
        """Make the database if it is missing; its URL. Needs the right to create databases only when it is missing."""
        url = self.database(name)
        try:
            connection = await asyncpg.connect(url)
        except asyncpg.InvalidCatalogNameError:
            admin = await asyncpg.connect(self.url)
            try:
                quoted = '"' + name.replace('"', '""') + '"'
                await admin.execute(f"CREATE DATABASE {quoted} ENCODING 'UTF8' TEMPLATE template0")
            except asyncpg.DuplicateDatabaseError:
                pass  # another process was quicker: all the same
            finally:
                await admin.close()
            return url
        await connection.close()
        return url


def service_database(service: str) -> str:
    return f"keyfold_{service}"


LOG_DATABASE = "keyfold_log"
