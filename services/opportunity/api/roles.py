"""Which roles may do what here."""

from collections.abc import Sequence
from typing import Any

from fastapi import Depends

from services.opportunity.domain.gates.waiver_answer import MAY_DECIDE
from services.opportunity.domain.opportunity.progress import AssertProgress
from shared.contracts.refusal import Reason, RefusedError
from shared.web.auth import Caller, needs

COMMANDING = ("seller", "manager", "executive", "operations", "integration")
MAY_COMMAND = Depends(needs(*COMMANDING))
MAY_CONCEDE = Depends(needs(*COMMANDING, "finance"))
MAY_READ = Depends(needs(*COMMANDING, "finance"))
MAY_DEFINE = Depends(needs("operations", "executive"))
MAY_DECIDE_WAIVERS = Depends(needs(*sorted(MAY_DECIDE)))
MIGRATING = frozenset({"operations", "integration"})


def check_migration(commands: Sequence[Any], caller: Caller, prefix: str = "") -> None:
    """Raises RefusedError (kind forbidden) where somebody asserts what only those may who bring deals in from elsewhere (R1)."""
    if caller.roles & MIGRATING:
        return
    reasons = []
    for index, command in enumerate(commands):
        field = _asserted(command)
        if field is not None:
            where = f"{prefix}.{index}.{field}" if prefix else field
            reasons.append(
                Reason("migration_only", "that is for deals brought in from another system", where, _EXPECTED)
            )
    if reasons:
        raise RefusedError(tuple(reasons), "forbidden")


_EXPECTED = f"evidence of what was done, or one of the roles {', '.join(sorted(MIGRATING))}"


def _asserted(command: Any) -> str | None:
    """The field that says so."""
    if isinstance(command, AssertProgress):
        return "completed_stage"
    evidence = getattr(command, "evidence", None)
    return "evidence.kind" if evidence is not None and evidence.kind == "asserted_at_migration" else None
