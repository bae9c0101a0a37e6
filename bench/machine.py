"""What the figures were measured on."""

import os
import platform
import sys
from pathlib import Path

import asyncpg
import psutil

SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")


async def machine(postgres: str) -> dict[str, str]:
    """Name of what → how much or which."""
    connection = await asyncpg.connect(postgres)
    try:
        version = str(await connection.fetchval("SHOW server_version"))
        settings = [f"{name} {await connection.fetchval('SELECT current_setting($1)', name)}" for name in SETTINGS]
    finally:
        await connection.close()
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return {
        "processor": f"{os.cpu_count()} cores, {_processor()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Python": f"{sys.implementation.name} {platform.python_version()}",
        "PostgreSQL": f"{version}: {', '.join(settings)}",
        "load at the start": load,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
