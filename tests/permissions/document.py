"""docs/permissions.md, out of the table: `python -m tests.permissions.document` writes it."""

from pathlib import Path

from tests.permissions.table import INITIALS, TABLE, Behind, Row

FILE = Path(__file__).parents[2] / "docs" / "permissions.md"
HEAD = """# Who may call what

One row a route. A test calls every route as everybody, about records of one's own, of the team, of people below and of strangers
(`tests/permissions`); this page is written from its table, and a route that is not in it fails the test.

- Without a token: 401 `no_token`. Without one of the roles: 403 `role_missing`. Roles add up; `executive`, `finance`,
  `operations` and `integration` see every record.
- **Records**: a seller reaches their own opportunities and those of their teams; who leads a team also those of everybody in it
  and in the teams below. Who leads which team stands in the account service, not in the token: the role `manager` alone shows
  nothing more.
- A record out of reach is 403 `not_yours`, read or changed; nothing is recorded. That it is there can be told from that: 404 means
  that there is none. Ids say nothing, but somebody who guesses another system's id learns whether it is taken.
- Lists, figures and their files (CSV, XLSX) hold what is in reach, and totals count that alone.
- Beside the role, a command may ask for more: the authority matrix for money, another person's approval, a period that is not
  over. Then the problem says so under a code of its own.
- Accounts, people, teams and products are read by everybody with a role; see [decision 8](decisions/0008-who-changes-accounts.md).

| behind it | means |
|---|---|
"""


def page() -> str:
    """The whole document."""
    parts = [HEAD, *(f"| {behind.name.lower()} | {behind.value} |\n" for behind in Behind)]
    for service, rows in TABLE.items():
        parts.append(f"\n## {service}\n\n| route | {' | '.join(INITIALS.values())} | behind it |\n")
        parts.append("|---|" + ":-:|" * len(INITIALS) + "---|\n")
        parts += [_line(row) for row in sorted(rows, key=lambda row: (row.path, row.method))]
    return "".join(parts)


def _line(row: Row) -> str:
    everybody = row.behind in (Behind.OPEN, Behind.TOKEN)
    marks = ["yes" if everybody or initial in row.roles else "" for initial in INITIALS]
    more = f"; of them, {row.only}" if row.only else ""
    return f"| `{row.name.replace(':path}', '}')}` | {' | '.join(marks)} | {row.behind.name.lower()}{more} |\n"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
