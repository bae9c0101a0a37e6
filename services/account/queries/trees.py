"""The two trees of this service."""

from services.account.projections.account_directory import account
from services.account.projections.organisation import team
from services.account.queries.tree import Tree

ACCOUNTS = Tree(account, account.c.parent_id)
TEAMS = Tree(team, team.c.parent_team_id)
