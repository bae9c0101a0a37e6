"""From the bytes of a CSV file to its header and rows. What cannot be read is refused with line and column."""

import csv
import io
from dataclasses import dataclass

from shared.contracts.refusal import RefusedError, refuse

MOST_ROWS = 10_000
MOST_COLUMNS = 200
LONGEST_CELL = 5_000  # characters
_OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16, which Excel calls "Unicode text"


@dataclass(frozen=True, slots=True)
class TableRow:
    """`line`: where the row begins in the file, the header being line 1. `cells`: by the name of their column."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class CsvTable:
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]


def read_table(content: bytes) -> CsvTable:
    """UTF-8, with or without byte order mark; comma, double quotes, a header (RFC 4180). Empty lines are passed over.

    Raises RefusedError (input): `bad_encoding`, `bad_csv`, `no_header`, `duplicate_column`, `too_many_rows`.
    """
    text = _text(content)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: tuple[str, ...] = ()
    rows: list[TableRow] = []
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if not columns:
                    columns = _header(line, cells)
                else:
                    rows.append(_row(line, columns, cells))
            if len(rows) > MOST_ROWS:
                raise refuse(
                    "too_many_rows", "the table is too long", expected=f"at most {MOST_ROWS} rows a file", kind="input"
                )
            line = reader.line_num + 1
    except csv.Error as error:
        expected = "cells with commas, quotes or line breaks in double quotes, quotes in them doubled"
        at, column = _fault(text, line)
        raise _wrong(at, f"column {column}: {error}; the row begins in line {line}", expected) from None
    if not columns:
        raise refuse(
            "no_header", "the table is empty", expected="a first line with the names of the columns", kind="input"
        )
    return CsvTable(columns, tuple(rows))


def _text(content: bytes) -> str:
    if content.startswith(_OTHER_MARKS):
        raise refuse(
            "bad_encoding", "line 1, column 1: the file is UTF-16", field="line 1", expected="UTF-8", kind="input"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "ignore")) + 1
        raise refuse(
            "bad_encoding",
            f"line {line}, column {column}: byte 0x{content[error.start]:02x} is no UTF-8",
            field=f"line {line}",
            expected="a file saved as UTF-8",
            kind="input",
        ) from None


def _fault(text: str, line: int) -> tuple[int, int]:
    """Line and column of what makes the row that begins in `line` no CSV: what follows a closing quote, or the quote that is
    never closed."""
    lines = io.StringIO(text, newline="").readlines()[line - 1 :]
    opened, quoted, closed, fresh = (line, 1), False, False, True
    for number, content in enumerate(lines, line):
        for column, letter in enumerate(content, 1):
            if quoted:
                quoted, closed = letter != '"', letter == '"'
            elif closed and letter == '"':
                quoted, closed = True, False
            elif closed and letter not in ",\r\n":
                return number, column
            elif fresh and letter == '"':
                opened, quoted = (number, column), True
            else:
                closed = False
            fresh = letter in ",\r\n" and not quoted
    return opened


def _header(line: int, cells: list[str]) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    if len(names) > MOST_COLUMNS:
        raise _wrong(line, f"there are {len(names)} columns", f"at most {MOST_COLUMNS}")
    for place, name in enumerate(names, 1):
        if not name:
            raise _wrong(line, f"column {place} has no name", "a name for every column")
        if name in names[: place - 1]:
            message = f"line {line}, column {place}: {name[:100]!r} is there twice"
            raise refuse("duplicate_column", message, field=name[:100], expected="every column once", kind="input")
    return names


def _row(line: int, columns: tuple[str, ...], cells: list[str]) -> TableRow:
    if len(cells) != len(columns):
        raise _wrong(line, f"the row has {len(cells)} cells", f"{len(columns)} cells, as in the header")
    for name, cell in zip(columns, cells, strict=True):
        if len(cell) > LONGEST_CELL:
            raise _wrong(line, f"column {name} has {len(cell)} characters", f"at most {LONGEST_CELL}")
    return TableRow(line, dict(zip(columns, cells, strict=True)))


def _wrong(line: int, message: str, expected: str) -> RefusedError:
    return refuse("bad_csv", f"line {line}: {message}", field=f"line {line}", expected=expected, kind="input")
