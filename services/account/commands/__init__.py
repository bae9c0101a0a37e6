"""What can be done with accounts, people, teams and products: used alike by the API, the CSV load and imports.

Each function decides within a `Work` and returns the entity's id; what it refuses is a RefusedError. `upsert_…` addresses an
entity by another system's id: it makes it when nobody has that id, else it changes only what differs.
"""

from services.account.commands.accounts import (
    change_account_details,
    flag_account,
    move_account,
    register_account,
    rename_account,
    upsert_account,
)
from services.account.commands.people import (
    change_person,
    join_person,
    leave_person,
    return_person,
    upsert_person,
)
from services.account.commands.products import (
    change_product,
    list_product,
    relist_product,
    retire_product,
    upsert_product,
)
from services.account.commands.teams import (
    appoint_manager,
    form_team,
    join_team,
    leave_team,
    move_team,
    relieve_manager,
    rename_team,
    upsert_team,
)

__all__ = [
    "appoint_manager",
    "change_account_details",
    "change_person",
    "change_product",
    "flag_account",
    "form_team",
    "join_person",
    "join_team",
    "leave_person",
    "leave_team",
    "list_product",
    "move_account",
    "move_team",
    "register_account",
    "relieve_manager",
    "relist_product",
    "rename_account",
    "rename_team",
    "retire_product",
    "return_person",
    "upsert_account",
    "upsert_person",
    "upsert_product",
    "upsert_team",
]
