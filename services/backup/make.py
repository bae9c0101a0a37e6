"""`keyfold backup`: everything that cannot be made again, into a folder, while the service goes on."""

import asyncio
import hmac
import importlib.metadata
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from services.backup.contents import (
    FILES,
    ISSUER_KEY,
    SECRET,
    Advance,
    Manifest,
    SavedService,
    begin,
    seal,
)
from services.backup.cut import Snapshot, consistent_cut
from services.backup.tools import Tool, find_tool, run_tool
from services.catalogue import SERVICES
from services.installation import Installation, service_database
from shared.files.port import FileLostError, Files
from shared.kit.settings import Settings

OF_THE_MACHINE = {"data", "host", "port", "jwks_url", "files_url", "log_level", "log_format"}
LOOK_SECONDS = 0.2


async def make_backup(installation: Installation, folder: Path, *, with_files: bool, advance: Advance) -> Manifest:
    """Built beside `folder`, and renamed when it is whole and on the disk. Raises BackupError, FilesUnavailableError, OSError."""
    partial = await asyncio.to_thread(begin, folder)
    try:
        manifest = await _fill(installation, partial, with_files=with_files, advance=advance)
        await asyncio.to_thread(seal, partial, folder, manifest)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


async def _fill(installation: Installation, folder: Path, *, with_files: bool, advance: Advance) -> Manifest:
    urls = {name: installation.server.database(service_database(name)) for name in SERVICES}
    saved: dict[str, SavedService] = {}
    files: dict[str, int] = {}
    async with consistent_cut({name: (SERVICES[name], url) for name, url in urls.items()}) as snapshots:
        server = next(iter(snapshots.values())).connection.get_server_version().major
        tool = find_tool("pg_dump", server)
        for name, snapshot in snapshots.items():
            dump = folder / f"{name}.dump"
            await _dump(tool, urls[name], snapshot, dump, advance)
            files |= await snapshot.files(SERVICES[name].files_in)
            saved[name] = SavedService(
                database=service_database(name), dump=dump.name, head=snapshot.head,
                published=snapshot.published, read=dict(snapshot.read),
            )  # fmt: skip
    lost = await _copy_files(installation.files, files, folder / FILES, advance) if with_files else []
    _copy_secrets(installation.settings, folder)
    return Manifest(
        format=1,
        made_at=datetime.now(UTC),
        keyfold=_release(),
        server=server,
        dumped_by=tool.major,
        services=saved,
        files=len(files) - len(lost) if with_files else None,
        lost=tuple(lost),
        secret=fingerprint(installation.secret),
        settings=settings_to_note(installation.settings),
    )


async def _dump(tool: Tool, url: str, snapshot: Snapshot, file: Path, advance: Advance) -> None:
    """Its progress is told in KiB, of an unknown number."""
    dumping = asyncio.create_task(
        run_tool(tool, url, "--format=custom", f"--snapshot={snapshot.name}", f"--file={file}")
    )
    try:
        while not dumping.done():
            await asyncio.wait({dumping}, timeout=LOOK_SECONDS)
            advance(await asyncio.to_thread(_kib, file), None)
        dumping.result()
    finally:
        dumping.cancel()
        await asyncio.gather(dumping, return_exceptions=True)


def _kib(file: Path) -> int:
    return file.stat().st_size // 1024 if file.exists() else 0


async def _copy_files(source: Files, files: Mapping[str, int], folder: Path, advance: Advance) -> Sequence[str]:
    """Those whose bytes are not there, or are others. They may be copied after the dumps: nothing is ever deleted."""
    lost: list[str] = []
    for number, (sha256, size) in enumerate(files.items(), 1):
        target = folder / sha256[:2] / sha256
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("wb") as out:
                async for chunk in await source.get(sha256, size):
                    await asyncio.to_thread(out.write, chunk)
        except FileLostError:
            target.unlink()
            lost.append(sha256)
        advance(number, len(files))
    return lost


def _copy_secrets(settings: Settings, folder: Path) -> None:
    """What the embedded form keeps in its data folder. Apart, secrets are in the environment and stay there."""
    wanted = [name for name, given in ((SECRET, settings.secret), (ISSUER_KEY, settings.issuer)) if given is None]
    for name in wanted:
        if (kept := settings.data / name).exists():
            with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(kept.read_bytes())


def _release() -> str:
    try:
        return importlib.metadata.version("keyfold")
    except importlib.metadata.PackageNotFoundError:
        return "not told"  # an image holds the code without its metadata


def fingerprint(secret: bytes) -> str:
    return hmac.digest(secret, b"keyfold backup", "sha256").hex()[:16]


def settings_to_note(settings: Settings) -> dict[str, str]:
    """Those that another machine must have the same, as far as they are no secrets."""
    values = {name: getattr(settings, name) for name in Settings.model_fields if name not in OF_THE_MACHINE}
    return {
        name: str(value) for name, value in values.items() if value is not None and not isinstance(value, SecretStr)
    }
