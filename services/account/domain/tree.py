"""Trees of accounts and of teams: nothing is above itself."""

from collections.abc import Sequence

from shared.contracts.refusal import refuse

DEEPEST = 100  # levels that a command reads on its way to the top


def check_parent(entity_id: str, above: Sequence[str], field: str = "parent") -> None:
    """`above`: the new parent, then what is above that, to the top. Refuses `cycle` and `tree_too_deep`."""
    if entity_id in above:
        raise refuse("cycle", f"{above[0]} is {entity_id} itself or stands below it", field=field)
    if len(above) >= DEEPEST:
        raise refuse("tree_too_deep", f"there are {DEEPEST} levels above it", field=field)
