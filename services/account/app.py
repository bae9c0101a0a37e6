"""The account service: accounts in their trees, our people and teams over time, our products, and API keys."""

from services.account.api import (
    accounts,
    api_key_commands,
    api_keys,
    batch,
    me,
    people,
    products,
    tables,
    team_commands,
    teams,
)
from services.account.projections.account_directory import account_directory
from services.account.projections.organisation import organisation
from services.account.projections.product_catalogue import product_catalogue
from services.account.queries.belonging import find_scope
from shared.contracts.account import CONTRACT
from shared.service.api_keys import api_keys as api_keys_read_model
from shared.service.definition import Service

SERVICE = Service(
    name="account",
    title="accounts",
    description="Accounts in trees, our people and teams over time, our products, API keys; by our ids or by those of others.",
    contract=CONTRACT,
    projections=(account_directory, organisation, product_catalogue, api_keys_read_model),
    routers=(
        accounts.router,
        batch.router,
        people.router,
        teams.router,
        team_commands.router,
        products.router,
        tables.router,
        api_keys.router,
        api_key_commands.router,
        me.router,
    ),
    find=find_scope,
    found_in=(organisation,),
)
