"""What a run has to say, for a table or as JSON."""

from collections.abc import Iterable
from typing import Any

from services.imports.mapping import Mapping
from services.imports.rows import Export, Finding
from services.imports.run import Result
from shared.kit.money import Money

COLUMNS = ("read", "taken", "created", "changed", "unchanged", "rejected")


def summary(result: Result, mapping: Mapping) -> list[dict[str, Any]]:
    """A row per file of the export; the opportunities' also says how many are won, and their worth."""
    rows: list[dict[str, Any]] = []
    for file, counts in result.counts.items():
        row: dict[str, Any] = {"file": file, **{column: counts[column] for column in COLUMNS}}
        row["doubted"] = len({finding.line for finding in result.doubts if finding.file == file})
        deals = file == mapping.files.opportunities
        row["won"] = result.won if deals else None
        row["won_sum"] = str(Money(minor=result.won_minor, currency=mapping.currency)) if deals else None
        rows.append(row)
    return rows


def findings(found: Result | Export) -> list[dict[str, Any]]:
    """Every rejection, then every doubt, by file and line: `kind` says which it is."""
    return [*_listed("rejected", found.rejections), *_listed("doubted", found.doubts)]


def tally(found: Result | Export) -> list[dict[str, Any]]:
    """How often each code was found, with its first line: thousands of findings on one screen."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for finding in findings(found):
        key = (finding["kind"], finding["file"], finding["code"])
        row = rows.setdefault(key, dict(zip(("kind", "file", "code"), key, strict=True)) | {"rows": 0})
        row["rows"] += 1
        row.setdefault("first_line", finding["line"])
        row.setdefault("example", finding["message"])
    return list(rows.values())


def notes(result: Result, mapping: Mapping) -> list[str]:
    """What the figures do not say: which business time the rows got."""
    undated = sum(f.code == "undated" and f.file == mapping.files.opportunities for f in result.doubts)
    columns = mapping.opportunities
    said = [
        f"{columns.opened_on} and {columns.closed_on} are the business time of what they date, from the start of the day on.",
        "Accounts and products count from the import on, people and teams from the first dated opportunity.",
    ]
    if undated:
        said.append(
            f"{undated} opportunities have no {columns.opened_on}. They count from their {columns.closed_on} on if they have "
            "ended, else from the import on: nothing earlier is known, and an invented date would be a false fact."
        )
    if result.dry_run:
        said.append(f"Dry run: nothing was written; {result.events} events would have been.")
    return said


def _listed(kind: str, found: Iterable[Finding]) -> list[dict[str, Any]]:
    return [
        {"kind": kind, "file": f.file, "line": f.line, "code": f.code, "message": f.message}
        for f in sorted(found, key=lambda f: (f.file, f.line))
    ]
