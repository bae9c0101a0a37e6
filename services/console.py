"""What commands print: tables for people, JSON for machines, progress for the patient."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NoReturn

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

WIDE = 160  # columns of a file or a pipe, which have no edge to fold at


def _width(terminal: bool) -> int | None:
    return None if terminal or "COLUMNS" in os.environ else WIDE


screen = Console(width=_width(sys.stdout.isatty()))
errors = Console(stderr=True, width=_width(sys.stderr.isatty()))


class CommandError(Exception):
    """What a command cannot do as it was asked; the message says why and what would be right."""


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what is wrong on standard error and end with this exit code."""
    errors.print(message, style="bold red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def as_json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def show(title: str, rows: Iterable[Mapping[str, Any]], *, json: bool = False, empty: str = "nothing") -> None:
    """Rows of the same keys as a table under `title`, or as a JSON list."""
    listed = [dict(row) for row in rows]
    if json:
        as_json(listed)
        return
    if not listed:
        screen.print(f"{title}: {empty}", markup=False)
        return
    table = Table(title=title, title_justify="left")
    for name, value in listed[0].items():
        justify: Literal["left", "right"] = "right" if isinstance(value, int | float) else "left"
        table.add_column(name.replace("_", " "), justify=justify, overflow="fold")  # half an id is of no use
    for row in listed:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    screen.print(table)


def lines(*text: str) -> None:
    """Whole, however narrow the terminal is."""
    for line in text:
        screen.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Any]:
    """A progress bar; yields `advance(done, total)`. Silent where standard error is no terminal and in JSON runs."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
