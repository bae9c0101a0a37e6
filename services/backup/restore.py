"""`keyfold restore`: a backup into databases of its own beside what is there, which take the names when all of it is in.

Until then nothing that anybody uses is changed. The log is not touched: it is empty, and the stores fill it again; or it knows
more than they do, and `keyfold recover` brings that back.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from services.backup.contents import FILES, ISSUER_KEY, SECRET, Advance, BackupError, Manifest, SavedService
from services.backup.make import fingerprint, settings_to_note
from services.backup.tools import Tool, find_tool, run_tool
from services.catalogue import SERVICES
from services.installation import Installation, Server, open_installation
from shared.files.receiving import receive
from shared.kit.postgres_server import find_postgres
from shared.kit.settings import Settings
from shared.log.cloudevents import BadRecordError, decode_record
from shared.log.port import Log, UnknownTopicError

CHUNK = 1024 * 1024
JOBS = 2
SESSION = {"application_name": "keyfold restore", "statement_timeout": "0"}
# Offsets are those of a log that may be gone: readers begin at its start, and drop what they have. Workers of then are dead.
_MEND = "UPDATE projection.checkpoint SET log_offset = 0; DELETE FROM projection.worker; ANALYZE"
_CURSOR_BACK = "UPDATE store.relay SET position = 0, partitions = '{}' WHERE topic = $1"


@dataclass(frozen=True, slots=True)
class Restored:
    """`log_end`: position of the last event in the log, None where it holds none and all is published again."""

    service: str
    head: int
    log_end: int | None


@dataclass(frozen=True, slots=True)
class Kept:
    """Secret or key of the embedded form. `replaces`: whether another one is there."""

    source: Path
    target: Path
    replaces: bool


def check_folder(settings: Settings, folder: Path, manifest: Manifest, *, replace: bool) -> list[Kept]:
    """Refuse what would end in a mixture, and change nothing. What is to be brought back besides. Raises BackupError."""
    if unknown := sorted(manifest.services.keys() ^ SERVICES.keys()):
        raise BackupError(
            f"the backup and this release have not the same services; they differ by {', '.join(unknown)}"
        )
    if settings.database_url is None:
        if find_postgres(settings.data / "postgres") is not None:
            raise BackupError(f"{settings.data.absolute()} is in use: stop `keyfold up` first")
        if (settings.data / "postgres" / "ready").exists() and not replace:
            raise BackupError(
                f"{settings.data.absolute()} holds an installation: choose another KEYFOLD_DATA, or --replace it"
            )
    if settings.secret is not None and fingerprint(settings.secret.get_secret_value().encode()) != manifest.secret:
        raise BackupError(
            "KEYFOLD_SECRET is another than that of the backup: commands that are sent again would be taken for others."
            " Set the same"
        )
    kept = []
    for name, given in ((SECRET, settings.secret), (ISSUER_KEY, settings.issuer)):
        if given is None and (folder / name).exists():
            kept.append(_compare(folder / name, settings.data / name, replace=replace))
        elif name == SECRET and given is None:
            raise BackupError(
                "the backup has no secret: it is of an installation with KEYFOLD_SECRET; set the same here"
            )
    return kept


def _compare(source: Path, target: Path, *, replace: bool) -> Kept:
    differs = target.exists() and target.read_bytes() != source.read_bytes()
    if differs and not replace:
        raise BackupError(
            f"{target.absolute()} is another than that of the backup: choose another KEYFOLD_DATA, or --replace it"
        )
    return Kept(source, target, differs)


def put_kept(kept: Kept) -> None:
    """The one that was there stays beside it, as `….replaced`: it opens what was made under it."""
    target = kept.target
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(kept.source.read_bytes())
    if kept.replaces:
        target.replace(target.with_name(f"{target.name}.replaced"))
    new.replace(target)


async def restore_backup(
    settings: Settings, folder: Path, manifest: Manifest, *, replace: bool, advance: Advance
) -> list[Restored]:
    """`folder` has been read and found whole. Raises BackupError, FilesUnavailableError, whatever log and database raise."""
    kept = await asyncio.to_thread(check_folder, settings, folder, manifest, replace=replace)
    async with open_installation(settings) as installation:
        ends = {name: await _log_end(installation.log, SERVICES[name].contract.topic) for name in manifest.services}
        admin = await asyncpg.connect(installation.server.url, server_settings=SESSION)
        try:
            major = admin.get_server_version().major
            if major < manifest.server:
                raise BackupError(
                    f"the backup is of PostgreSQL {manifest.server} and this server is of {major}: use a newer one"
                )
            tool = find_tool("pg_restore", max(major, manifest.dumped_by))
            for saved in manifest.services.values():
                await _refuse_used(installation.server, admin, saved.database, replace=replace)
            await _put_files(installation, folder / FILES, advance)
            for name, saved in manifest.services.items():
                await _fill(installation.server, admin, tool, folder, saved)
                if ends[name] is None:
                    await _execute(
                        installation.server.database(_new(saved)), _CURSOR_BACK, SERVICES[name].contract.topic
                    )
            await swap_databases(admin, [saved.database for saved in manifest.services.values()])
            for one in kept:
                await asyncio.to_thread(put_kept, one)
            for saved in manifest.services.values():
                await admin.execute(f"DROP DATABASE IF EXISTS {quoted(_replaced(saved.database))}")
        finally:
            await admin.close()
        return [Restored(name, saved.head, ends[name]) for name, saved in manifest.services.items()]


def _new(saved: SavedService) -> str:
    return f"{saved.database}_restoring"


async def _refuse_used(server: Server, admin: "asyncpg.Connection[Any]", name: str, *, replace: bool) -> None:
    """Raises BackupError when somebody is connected to the database, or when it holds anything and is not to be replaced."""
    if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
        return
    users = await admin.fetchval(
        "SELECT string_agg(DISTINCT coalesce(nullif(application_name, ''), usename), ', ') FROM pg_stat_activity "
        "WHERE datname = $1 AND pid <> pg_backend_pid()",
        name,
    )
    if users:
        raise BackupError(f"{name} is in use by {users}: stop every API, worker and command first")
    if not replace and await _holds_tables(server.database(name)):
        raise BackupError(f"{name} is not empty: restore onto another server, or --replace what is there")


async def _holds_tables(url: str) -> bool:
    connection = await asyncpg.connect(url, server_settings=SESSION)
    try:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema'))"
            )
        )
    finally:
        await connection.close()


async def _fill(
    server: Server, admin: "asyncpg.Connection[Any]", tool: Tool, folder: Path, saved: SavedService
) -> None:
    """A database beside the one that is used. All in it belongs to the owner of that one."""
    new, old = _new(saved), saved.database
    owner = await admin.fetchval(
        "SELECT coalesce((SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1), current_user)", old
    )
    await admin.execute(f"DROP DATABASE IF EXISTS {quoted(new)}")
    await admin.execute(
        f"CREATE DATABASE {quoted(new)} OWNER {quoted(owner)} ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
    )
    await _copy_rights(admin, old, new)
    await run_tool(
        tool, server.database(new), "--no-owner", "--no-privileges", f"--role={owner}", "--exit-on-error",
        f"--jobs={JOBS}", str(folder / saved.dump),
    )  # fmt: skip
    await _execute(server.database(new), _MEND)
    connection = await asyncpg.connect(server.database(new), server_settings=SESSION)
    try:
        head = await connection.fetchval("SELECT position FROM store.head WHERE one")
    finally:
        await connection.close()
    if head != saved.head:
        raise BackupError(
            f"{saved.dump} reaches to {head}, and its manifest says {saved.head}: they are of two backups"
        )


async def _copy_rights(admin: "asyncpg.Connection[Any]", old: str, new: str) -> None:
    """Who may connect, as it was said for the database that is replaced."""
    rows = await admin.fetch(
        "SELECT a.privilege_type, CASE WHEN a.grantee = 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END AS grantee "
        "FROM pg_database d CROSS JOIN aclexplode(d.datacl) a WHERE d.datname = $1 AND d.datacl IS NOT NULL",
        old,
    )
    if rows:
        await admin.execute(f"REVOKE ALL ON DATABASE {quoted(new)} FROM PUBLIC")
    for row in rows:
        grantee = "PUBLIC" if row["grantee"] is None else quoted(row["grantee"])
        await admin.execute(f"GRANT {row['privilege_type']} ON DATABASE {quoted(new)} TO {grantee}")


def _replaced(name: str) -> str:
    return f"{name}_replaced"


async def swap_databases(admin: "asyncpg.Connection[Any]", names: Sequence[str]) -> None:
    """Give the restored databases the names of those that are there, all or none. These are then called `…_replaced`."""
    there = [
        row["datname"]
        for row in await admin.fetch("SELECT datname FROM pg_database WHERE datname = ANY($1::text[])", names)
    ]
    for name in there:
        await admin.execute(f"DROP DATABASE IF EXISTS {quoted(_replaced(name))}")
    try:
        for name in there:
            await admin.execute(f"ALTER DATABASE {quoted(name)} ALLOW_CONNECTIONS false")
        await admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = ANY($1::text[])", there
        )
        async with admin.transaction():
            for name in there:
                await admin.execute(f"ALTER DATABASE {quoted(name)} RENAME TO {quoted(_replaced(name))}")
            for name in names:
                await admin.execute(f"ALTER DATABASE {quoted(f'{name}_restoring')} RENAME TO {quoted(name)}")
    except BaseException:
        for name in there:
            await admin.execute(f"ALTER DATABASE {quoted(name)} ALLOW_CONNECTIONS true")
        raise


async def _put_files(installation: Installation, folder: Path, advance: Advance) -> None:
    """Where they are there already they stay: a name says what is in it."""
    found = await asyncio.to_thread(_files, folder)
    for number, path in enumerate(found, 1):
        async with receive(_chunks(path), installation.files.staging) as received:
            await installation.files.put(received)
        advance(number, len(found))


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk


async def _log_end(log: Log, topic: str) -> int | None:
    try:
        bounds = await log.bounds(topic)
    except UnknownTopicError:
        return None
    ends = []
    for partition, (first, after) in bounds.items():
        record = await log.last_record(topic, partition) if after > first else None
        if record is not None:
            try:
                ends.append(decode_record(record)[0].position)
            except BadRecordError as problem:
                raise BackupError(f"somebody else writes to {topic}: {problem}") from problem
    return max(ends, default=None)


async def _execute(url: str, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(url, server_settings=SESSION)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def differing_settings(settings: Settings, manifest: Manifest) -> Mapping[str, tuple[str, str]]:
    """Setting → (in the backup, here)."""
    here = settings_to_note(settings)
    names = sorted(manifest.settings.keys() | here.keys())
    pairs = {name: (manifest.settings.get(name, "not set"), here.get(name, "not set")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
