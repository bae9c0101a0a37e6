"""The lease: one relay per topic, by an advisory lock of a session of its own. The session dies, the lease is free."""

from typing import Any

import asyncpg

SESSION = {
    "application_name": "keyfold relay",
    "statement_timeout": "30s",
    # A holder whose machine vanished must not keep the lease for the two hours of the system's default.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


class LeaseLostError(Exception):
    """The lease is gone with its session; another relay may publish now."""


async def open_lease_session(dsn: str) -> "asyncpg.Connection[Any]":
    return await asyncpg.connect(dsn, server_settings=SESSION, command_timeout=30)


async def try_lease(session: "asyncpg.Connection[Any]", topic: str) -> bool:
    """Try, and do not wait in the server: a waiting statement would hold back vacuum."""
    return bool(
        await session.fetchval("SELECT pg_try_advisory_lock(hashtextextended('keyfold relay ' || $1, 0))", topic)
    )
