"""Before a process appends: does the store still have the history that is in the log?

A store that was restored or failed over to an older moment would give positions away a second time, and no command could bring
the two histories together again. So the database keeps, in `store.agreement`, which *incarnation* was last compared with the log:
the run of the server (a restart, a fail-over, a clone is another one) and the tables (a restore makes others). Each new connection
of an appender holds its own incarnation against that mark; only when they differ, the log is looked at. Nothing is asked for an
append through a connection that was admitted, and nothing of the log while the mark stands: a broker may be down.
"""

import asyncio
from typing import Any

import asyncpg
import structlog

from shared.contracts.event import Contract
from shared.eventstore.types import Acknowledged, AppendsRefusedError
from shared.log.port import Log, LogUnavailableError, UnknownTopicError
from shared.relay.checks import RelayRefusedError, check_ends
from shared.relay.lease import open_lease_session

PATIENCE = 5.0  # seconds that an append waits for the comparison; it goes on beyond that
AGAIN_SECONDS = 1.0  # between two comparisons of a store that was refused

_INCARNATION = """
(SELECT concat_ws('/', to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
    (SELECT oid FROM pg_database WHERE datname = current_database()), 'store.event'::regclass::oid))
"""
_STATE = f"""
SELECT h.position, a.incarnation = i.now AS agreed, i.now AS incarnation,
    (SELECT e.event_id FROM store.event e WHERE e.position = $1) AS event_id
FROM store.head h CROSS JOIN store.agreement a CROSS JOIN (SELECT {_INCARNATION} AS now) i
"""  # noqa: S608 — no values of anybody's
_MARK = f"""
UPDATE store.agreement SET incarnation = {_INCARNATION}, agreed_at = clock_timestamp()
WHERE incarnation <> {_INCARNATION}
"""  # noqa: S608

log = structlog.get_logger(__name__)


async def mark_agreed(connection: "asyncpg.Connection[Any]") -> None:
    """To be called after store and log were compared on this very connection."""
    await connection.execute(_MARK)


class Agreement:
    """The guard of an event store's appends. `dsn`: the store's database, for a connection of its own while it compares."""

    def __init__(self, dsn: str, source: Log, contract: Contract, *, patience: float = PATIENCE) -> None:
        self._dsn = dsn
        self._log = source
        self._contract = contract
        self._patience = patience
        self._comparing: asyncio.Task[None] | None = None
        self._refusal: str | None = None
        self._looked = float("-inf")

    async def admit(self, connection: Any, acknowledged: Acknowledged) -> str:
        """The incarnation. Raises AppendsRefusedError; whatever the database raises."""
        if incarnation := await self._agreed(connection, acknowledged):
            return incarnation
        pause = AGAIN_SECONDS if self._refusal else 0.0
        if self._comparing is None and asyncio.get_running_loop().time() - self._looked >= pause:
            self._comparing = asyncio.create_task(self._compare(), name=f"agreement {self._contract.service}")
        if self._comparing is not None:
            await asyncio.wait({self._comparing}, timeout=self._patience)
        if incarnation := await self._agreed(connection, acknowledged):
            return incarnation
        raise AppendsRefusedError(self._refusal or self._unknown("they are being compared"))

    async def close(self) -> None:
        if self._comparing is not None:
            self._comparing.cancel()
            await asyncio.gather(self._comparing, return_exceptions=True)

    async def _agreed(self, connection: Any, acknowledged: Acknowledged) -> str | None:
        """The incarnation, if it is the one that was compared. What this process appended is looked for by its id as well: another
        process may have appended since to a server that lacked it."""
        state = await connection.fetchrow(_STATE, acknowledged.position)
        there = f"the store has only {state['position']}" if state["position"] < acknowledged.head else None
        if there is None and state["event_id"] != acknowledged.event_id:
            there = f"at position {acknowledged.position} the store has another than this process appended"
        if there is not None:
            raise AppendsRefusedError(
                f"this process has acknowledged events up to position {acknowledged.head} of {self._contract.topic}, and "
                f"{there}: it was restored, or failed over to a server that lacked them. "
                f"`keyfold recover {self._contract.service}` brings back those that were published; if some never were, they "
                "are lost: restart this process to go on without them"
            )
        return str(state["incarnation"]) if state["agreed"] else None

    async def _compare(self) -> None:
        """Look at the log, and leave the mark when it agrees; what speaks against it is kept for whoever is refused."""
        refusal: str | None = None
        try:
            session = await open_lease_session(self._dsn)
            try:
                await check_ends(session, self._log, self._contract.topic, self._contract.service)
                await mark_agreed(session)
            finally:
                await session.close()
        except (RelayRefusedError, UnknownTopicError) as problem:
            refusal = str(problem)
        except (LogUnavailableError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
            refusal = self._unknown(f"they cannot be compared now ({type(problem).__name__}: {problem})")
        finally:
            self._comparing = None
            self._looked = asyncio.get_running_loop().time()
        if refusal is not None and refusal != self._refusal:
            log.error("nothing is appended", topic=self._contract.topic, reason=refusal)
        self._refusal = refusal

    def _unknown(self, why: str) -> str:
        return (
            f"the database of {self._contract.service} was started, restored or failed over since it was last seen to agree with "
            f"{self._contract.topic}, and {why}; reads go on"
        )
