"""PostgreSQL's own tools: found for a server's version, run with its address in their environment."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from services.backup.contents import BackupError
from shared.kit.postgres_server import PostgresUnavailable, program

DEBIAN = Path("/usr/lib/postgresql")  # beside what is on PATH, its packages keep each major version
TAIL = 2_000  # characters of what a tool said


@dataclass(frozen=True, slots=True)
class Tool:
    path: str
    major: int


def find_tool(name: str, server: int) -> Tool:
    """`pg_dump` or `pg_restore` for a server of this major version: of the same, else the next newer one. Raises BackupError."""
    found = [tool for path in _candidates(name) if (tool := _versioned(path)) is not None]
    fitting = [tool for tool in found if tool.major >= server]
    if not fitting:
        here = ", ".join(f"{tool.path} is of version {tool.major}" for tool in found) or "none is here"
        raise BackupError(
            f"the server is PostgreSQL {server} and needs {name} of version {server} or later, but {here}: install the "
            f"client programs of PostgreSQL {server} (Debian: postgresql-client-{server})"
        )
    return min(fitting, key=lambda tool: tool.major)


def _candidates(name: str) -> list[str]:
    paths = [str(path) for path in sorted(DEBIAN.glob(f"*/bin/{name}"))]
    if on_path := shutil.which(name):
        paths.insert(0, on_path)
    with contextlib.suppress(PostgresUnavailable):  # no wheel on this platform
        paths.insert(0, program(name))
    return paths


def _versioned(path: str) -> Tool | None:
    try:
        said = subprocess.run([path, "--version"], check=True, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", said)
    return Tool(path, int(match[1])) if match else None


async def run_tool(tool: Tool, url: str, *arguments: str) -> None:
    """`url`: of the database; its password is not shown to other users of the machine. Raises BackupError with what
    the tool said.
    """
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    user = f"{parts.netloc.rpartition('@')[0].partition(':')[0]}@" if parts.username else ""
    address = urlunsplit(parts._replace(netloc=user + place))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if parts.password:
        environment["PGPASSWORD"] = unquote(parts.password)
    process = await asyncio.create_subprocess_exec(
        tool.path, *arguments, f"--dbname={address}",
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        _, said = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode:
        raise BackupError(f"{Path(tool.path).name} failed: {said.decode(errors='replace').strip()[-TAIL:]}")
