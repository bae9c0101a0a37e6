"""The lines of a CSV file, numbered as an editor numbers them."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.imports.rows import ExportError


class Rows(Protocol):
    """A reader of the csv module; `line_num`: lines read so far."""

    @property
    def line_num(self) -> int: ...

    def __next__(self) -> list[str]: ...

    def __iter__(self) -> Iterator[list[str]]: ...


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the file: the line it begins on, and its cells by column; or, with `fault`, why it is none."""

    number: int
    cells: dict[str, str] = field(default_factory=dict)
    fault: str | None = None


def lines(path: Path, needed: Sequence[str]) -> Iterator[Line]:
    """Every row below the header; empty lines are none. Cells come without blanks around them.

    Raises ExportError: the file is missing, is not UTF-8, lacks a column of `needed`, or has a quotation mark that is never closed.
    """
    rows = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    header = _header(path, rows, needed)
    while True:
        number = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error) or "field limit" in str(error):
                # What follows the mark cannot be told from what it encloses: all these rows would be lost in one.
                raise ExportError(f"{path}: a quotation mark on line {number} or after it is never closed") from error
            yield Line(number, fault=f"no row of a CSV file: {error}")
            continue
        if not cells:
            continue
        if len(cells) != len(header):
            yield Line(number, fault=f"{len(cells)} cells where the header has {len(header)}")
        elif any("\x00" in cell for cell in cells):
            yield Line(number, fault="a NUL character in a cell")
        else:
            yield Line(number, {name: cell.strip() for name, cell in zip(header, cells, strict=True)})


def _header(path: Path, rows: Rows, needed: Sequence[str]) -> list[str]:
    try:
        header = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise ExportError(f"{path}: the header is no row of a CSV file: {error}") from error
    if not header:
        raise ExportError(f"{path} is empty: not even a header; it needs {', '.join(dict.fromkeys(needed))}")
    missing = [name for name in dict.fromkeys(needed) if name not in header]
    if missing:
        raise ExportError(f"{path}: no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, header))}")
    twice = sorted({name for name in needed if header.count(name) > 1})
    if twice:
        raise ExportError(f"{path}: the column {', '.join(map(repr, twice))} stands in the header more than once")
    return header


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ExportError(f"{path} does not exist; the mapping names it under `files`") from None
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ExportError(f"{path}: line {line} is not UTF-8{_guess(raw)}; save the file as UTF-8") from error


def _guess(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return " (it looks like UTF-16)"
    try:
        raw.decode("gb18030")
    except UnicodeDecodeError:
        return ""
    return " (it could be GBK)"
