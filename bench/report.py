"""The rows as a table, as JSON, and as the page docs/performance.md."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.harness import Row

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"


def verdict(row: Row) -> str:
    if row.met is None:
        return ""
    return "met" if row.met else "missed"


def show(rows: Sequence[Row]) -> None:
    table = Table(title="Keyfold's speed")
    for name in ("measure", "figure", "against", "ratio", "target", "", "note"):
        table.add_column(name, overflow="fold")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.what, row.figure, row.against, ratio, row.target, verdict(row), row.note)
    Console(width=200).print(table)


def as_json(rows: Sequence[Row], machine: Mapping[str, str], day: str) -> str:
    return json.dumps(
        {"date": day, "machine": machine, "rows": [asdict(row) for row in rows]}, ensure_ascii=False, indent=1
    )


def write_page(
    rows: Sequence[Row], machine: Mapping[str, str], day: str, missing: Sequence[str], file: Path = PAGE
) -> None:
    """Replace the figures of the page; what people have written around them stays."""
    lines = [BEGIN, "", f"Measured on {day}.", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    lines += ["", "| measure | figure | against | ratio | target | | note |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        cells = (row.what, row.figure, row.against, ratio, row.target, verdict(row), row.note)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += [f"\nNot measured: {reason}" for reason in missing]
    page = file.read_text(encoding="utf-8") if file.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    before, rest = page.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    file.write_text(before + "\n".join(lines) + f"\n\n{END}" + after, encoding="utf-8")
