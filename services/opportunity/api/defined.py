"""Sales processes and stages that a question names: defined here, or refused by name."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.projections.processes import definition, selling_stage
from shared.contracts.refusal import Reason, RefusedError

MOST_NAMED = 100


async def check_processes(connection: AsyncConnection, keys: Sequence[str], stages: Sequence[str]) -> None:
    """Raises RefusedError (kind input): `unknown_process`, `unknown_stage` for a code that no version of the processes has
    (all of them, when no `keys` are given). No question to the database when nothing is named."""
    reasons: list[Reason] = []
    if keys:
        found = await connection.execute(select(definition.c.key).where(definition.c.key.in_(keys)))
        unknown = sorted(set(keys) - set(found.scalars()))
        reasons += [
            Reason("unknown_process", f"there is no sales process {key!r}", "process", "see /processes")
            for key in unknown
        ]
    if stages and not reasons:
        named = select(selling_stage.c.code).order_by(selling_stage.c.number, selling_stage.c.code)
        rows = await connection.execute(named.where(selling_stage.c.key.in_(keys)) if keys else named)
        codes = list(dict.fromkeys(rows.scalars()))
        expected = f"a number, or one of {', '.join(codes[:MOST_NAMED])}"
        reasons += [
            Reason("unknown_stage", f"no stage is called {code!r}", "stage", expected)
            for code in sorted(set(stages) - set(codes))
        ]
    if reasons:
        raise RefusedError(tuple(reasons), "input")
