"""`keyfold backup`, `keyfold restore` and `keyfold verify-files`: what they print, and how they end."""

import asyncio
from pathlib import Path

import asyncpg

from services import console
from services.backup.contents import BackupError, Manifest, read_backup
from services.backup.cut import SESSION, files_on_record
from services.backup.make import make_backup
from services.backup.restore import differing_settings, restore_backup
from services.catalogue import SERVICES
from services.installation import open_installation, service_database
from shared.files.port import FileLostError
from shared.kit.settings import PREFIX, Settings


async def back_up(settings: Settings, folder: Path, *, with_files: bool, json: bool) -> None:
    """Raises BackupError, also when files on record are lost: the backup is there, without them."""
    async with open_installation(settings) as installation:
        with console.progress("backup") as advance:
            manifest = await make_backup(installation, folder, with_files=with_files, advance=advance)
    _show(folder, manifest, json=json)
    if manifest.lost:
        raise BackupError(
            f"the backup is whole but for {len(manifest.lost)} files on record whose bytes are lost: {', '.join(manifest.lost[:5])}"
        )


async def check(folder: Path, *, json: bool) -> None:
    """Raises BackupError."""
    _show(folder, await _read(folder), json=json)


async def _read(folder: Path) -> Manifest:
    with console.progress("checking") as advance:
        return await asyncio.to_thread(read_backup, folder, advance)


def _show(folder: Path, manifest: Manifest, *, json: bool) -> None:
    if json:
        console.as_json(manifest.model_dump(mode="json"))
        return
    files = "left out" if manifest.files is None else manifest.files
    console.lines(f"{folder.absolute()}: whole, made {manifest.made_at:%Y-%m-%d %H:%M:%S %Z}, files: {files}")
    for name, one in manifest.services.items():
        console.lines(f"  {name}: up to position {one.head}, published up to {one.published}")


async def restore(settings: Settings, folder: Path, *, replace: bool) -> None:
    """Raises BackupError."""
    manifest = await _read(folder)
    with console.progress("restore") as advance:
        done = await restore_backup(settings, folder, manifest, replace=replace, advance=advance)
    recover = [one for one in done if one.log_end is not None and one.log_end > one.head]
    for one in done:
        if one.log_end is None:
            told = "the log holds none of them; the worker publishes them again"
        elif one in recover:
            told = f"the log goes on to {one.log_end}"
        else:
            told = f"the log reaches to {one.log_end}"
        console.lines(f"{one.service}: restored up to position {one.head}; {told}")
    if manifest.files is None:
        console.lines(
            "The backup was made without the attached files: restore their folder or bucket, then `keyfold verify-files`"
        )
    for name, (then, now) in differing_settings(settings, manifest).items():
        console.lines(f"{PREFIX}{name.upper()} was {then} and is {now}: figures by day or period will differ")
    apart = [] if settings.database_url is None else ["keyfold migrate"]
    for step in (*(f"keyfold recover {one.service}" for one in recover), *apart):
        console.lines(f"Before anything is started: {step}")


async def verify_files(settings: Settings, *, json: bool) -> bool:
    """Whether every file on record is there, byte for byte."""
    rows: list[dict[str, object]] = []
    async with open_installation(settings) as installation:
        for name, service in SERVICES.items():
            url = installation.server.database(service_database(name))
            connection = await asyncpg.connect(url, server_settings=SESSION)
            try:
                files = await files_on_record(connection, service.files_in)
            finally:
                await connection.close()
            with console.progress(name) as advance:
                for number, (sha256, size) in enumerate(files, 1):
                    try:
                        async for _ in await installation.files.get(sha256, size):
                            pass
                    except FileLostError as lost:
                        rows.append({"service": name, "sha256": sha256, "size": size, "lost": str(lost)})
                    advance(number, len(files))
    console.show("Lost files", rows, json=json, empty="none")
    return not rows
