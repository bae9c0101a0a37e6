"""What operators can mend: which errors end a command with a sentence instead of a traceback."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from services.backup.contents import BackupError
from services.console import CommandError, fail
from services.imports.mapping import MappingError
from services.imports.rows import ExportError
from shared.eventstore.types import AppendsRefusedError
from shared.files.port import FilesUnavailableError
from shared.kit.postgres_server import PostgresUnavailable
from shared.kit.settings import Settings, SettingsError
from shared.log.port import LogUnavailableError, TopicMismatchError, UnknownTopicError
from shared.projections.database_errors import DATABASE_ERRORS
from shared.projections.reads import NotBuiltError, NotYetVisibleError
from shared.projections.rebuild import RebuildRefusedError
from shared.relay.checks import RelayRefusedError
from shared.relay.recover import RecoveryRefusedError
from shared.service.http import ListenError

KNOWN = (
    PostgresUnavailable,
    LogUnavailableError,
    TopicMismatchError,
    UnknownTopicError,
    RebuildRefusedError,
    NotBuiltError,
    NotYetVisibleError,
    RelayRefusedError,
    RecoveryRefusedError,
    AppendsRefusedError,
    ListenError,
    SettingsError,
    MappingError,
    ExportError,
    CommandError,
    BackupError,
    FilesUnavailableError,
    OSError,
)
UNUSABLE = ("08", "28", "3D", "53", "57")
"""Classes of SQLSTATE: no connection, no permission to connect, no such database, no room, shut down."""


@contextmanager
def told(settings: Settings) -> Iterator[None]:
    """What operators can mend ends the command with a sentence."""
    try:
        yield
    except (*KNOWN, *DATABASE_ERRORS) as problem:
        sentence = _sentence(problem, settings)
        if sentence is None:
            raise
        fail(sentence)


def _sentence(problem: BaseException, settings: Settings) -> str | None:
    """None for what nobody can mend but in the code, and for output that nobody reads."""
    if isinstance(problem, BrokenPipeError):
        return None
    words = str(problem) or type(problem).__name__
    cause = getattr(problem, "orig", None) or problem
    state = str(getattr(cause, "sqlstate", None) or "")
    if isinstance(problem, socket.gaierror | ConnectionError | TimeoutError) or state[:2] in UNUSABLE:
        return f"{_database(settings)} cannot be used: {str(cause) or words}"
    return words if isinstance(problem, KNOWN) else None


def _database(settings: Settings) -> str:
    if settings.database_url is None:
        return f"the embedded database in {settings.data.absolute()}"
    address = urlsplit(settings.database_url.get_secret_value())
    return f"the database server of KEYFOLD_DATABASE_URL ({address.hostname}:{address.port or 5432})"
