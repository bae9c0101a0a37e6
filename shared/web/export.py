"""Lists as CSV and as XLSX: the same rows, filters and order as in JSON, all pages in one file.

The rows are written to a temporary file first: the database is read at its own speed and let go, however slowly the file is
fetched. CSV is UTF-8 with a byte order mark, without which Excel takes Chinese for something else. Every text is quoted in CSV, and
what a spreadsheet would take for a formula is given an apostrophe, at the beginning and wherever a spreadsheet that separates by
semicolons would begin a cell; in XLSX a text is a text. Moments are told in the business calendar's time zone.
"""

import asyncio
import io
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import IO, Annotated, Any, Final, Generic, Literal, Protocol, TypeVar
from zoneinfo import ZoneInfo

import xlsxwriter
from fastapi import Depends, Header
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from shared.kit.money import currency_digits
from shared.web.problems import ProblemError

R = TypeVar("R")
S = TypeVar("S")
Cell = str | int | float | Decimal | date | datetime | None
Format = Literal["json", "csv", "xlsx"]
MOST_ROWS = 100_000
"""Of one file; a list that is longer is refused, not cut off."""
CSV, XLSX = "text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_TYPES: Final[dict[str, Format]] = {"application/json": "json", CSV: "csv", XLSX: "xlsx"}
FILES: Final[dict[str, Any]] = {
    CSV: {"schema": {"type": "string"}},
    XLSX: {"schema": {"type": "string", "format": "binary"}},
}
"""For the OpenAPI document: what a route that exports gives beside JSON."""
IN_MEMORY = 4 * 1024 * 1024
CHUNK = 64 * 1024
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_INSIDE = re.compile(r"([;\t\r\n][ \"]*)(?=[=+\-@＝＋－＠])")
LONGEST_TEXT = 32_767  # of a cell
MOST_DIGITS = 15  # of a number in a spreadsheet: further ones become 0


class Exported(BaseModel):
    """The parameter that every list which can be exported has."""

    format: Format | None = Field(
        default=None,
        description=f"In place of `Accept`. A file has all rows, at most {MOST_ROWS}: `limit` and `cursor` do not apply.",
    )


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """`head` in the caller's language; money as a Decimal in whole units of its currency."""

    head: str
    cell: Callable[[R], Cell]


def whole_units(minor: int, currency: str) -> Decimal:
    """1234 fen → 12.34: people calculate in these, and a spreadsheet adds them up."""
    return Decimal(minor).scaleb(-currency_digits(currency))


async def accepted(accept: Annotated[str | None, Header(max_length=1_000, include_in_schema=False)] = None) -> Format:
    """What the Accept header likes best of what there is; JSON for everything else."""
    best: tuple[float, Format] = (0.0, "json")
    for part in (accept or "").split(","):
        name, _, parameters = part.strip().partition(";")
        form = _TYPES.get(name.strip().lower())
        if form is None:
            continue
        weight = _quality(parameters)
        if weight > best[0]:
            best = (weight, form)
    return best[1]


AcceptedNow = Annotated[Format, Depends(accepted)]


def _quality(parameters: str) -> float:
    for one in parameters.split(";"):
        name, _, value = one.strip().partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


class _Sheet(Protocol):
    def write(self, rows: Sequence[Sequence[Cell]]) -> None: ...

    def close(self) -> None: ...


async def export(
    form: Literal["csv", "xlsx"],
    name: str,
    columns: Sequence[Column[R]],
    pages: AsyncIterator[Sequence[R]],
    time_zone: str,
) -> StreamingResponse:
    """The file `name`. Raises ProblemError 413 for more than MOST_ROWS rows."""
    file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 — closed when it has been sent
    try:
        await _written(_Csv(file) if form == "csv" else _Xlsx(file, name), columns, pages, ZoneInfo(time_zone))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"', "Cache-Control": "no-store"}
    media = f"{CSV}; charset=utf-8" if form == "csv" else XLSX
    return StreamingResponse(_sent(file), media_type=media, headers=headers)


async def in_parts(
    rows: Sequence[S], made: Callable[[Sequence[S]], Awaitable[Sequence[R]]], size: int = 500
) -> AsyncIterator[Sequence[R]]:
    """Pages of what `made` makes of so many rows at a time: others wait for no more than these."""
    for start in range(0, len(rows), size):
        yield await made(rows[start : start + size])


async def at_once(rows: Sequence[R]) -> Sequence[R]:
    """For `in_parts`: rows that are ready."""
    return rows


async def _written(
    sheet: _Sheet, columns: Sequence[Column[R]], pages: AsyncIterator[Sequence[R]], zone: ZoneInfo
) -> None:
    written = 0
    try:
        sheet.write([[column.head for column in columns]])
        async for page in pages:
            written += len(page)
            if written > MOST_ROWS:
                raise ProblemError(
                    413,
                    "too_many_rows",
                    f"a file has at most {MOST_ROWS} rows; narrow the question, or page through JSON",
                )
            await asyncio.to_thread(_write, sheet, columns, page, zone)
    finally:
        await asyncio.to_thread(sheet.close)  # also one that nobody wants: a workbook has temporary files of its own


def _write(sheet: _Sheet, columns: Sequence[Column[R]], rows: Sequence[R], zone: ZoneInfo) -> None:
    sheet.write([_cells(columns, row, zone) for row in rows])


def _cells(columns: Sequence[Column[R]], row: R, zone: ZoneInfo) -> list[Cell]:
    return [_local(column.cell(row), zone) for column in columns]


def _local(cell: Cell, zone: ZoneInfo) -> Cell:
    return cell.astimezone(zone).replace(tzinfo=None, microsecond=0) if isinstance(cell, datetime) else cell


def _sent(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk


def _digits(number: int | Decimal) -> int:
    """How many of them matter: without the zeros at the end."""
    return len("".join(str(digit) for digit in Decimal(number).as_tuple().digits).rstrip("0"))


class _Csv:
    def __init__(self, file: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)

    def write(self, rows: Sequence[Sequence[Cell]]) -> None:
        self._text.write("".join(f"{','.join(_plain(cell) for cell in row)}\r\n" for row in rows))

    def close(self) -> None:
        self._text.flush()
        self._text.detach()  # the file goes on without it


def _plain(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return f'"{_harmless(cell).replace(chr(34), chr(34) * 2)}"'
        case datetime():
            return cell.isoformat(sep=" ")
        case Decimal():
            return f"{cell:f}"
    return str(cell)


def _harmless(text: str) -> str:
    # Quotes alone do not help: between semicolons most of a row is one cell, which does not begin with a quote.
    text = _INSIDE.sub(r"\1'", text)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


class _Xlsx:
    def __init__(self, file: IO[bytes], name: str) -> None:
        # Rows leave memory as they are written; nothing in a cell is ever read as a formula or a link.
        self._book = xlsxwriter.Workbook(file, {"constant_memory": True, "default_date_format": "yyyy-mm-dd"})
        self._sheet = self._book.add_worksheet(name[:31])
        self._bold = self._book.add_format({"bold": True})
        self._day = self._book.add_format({"num_format": "yyyy-mm-dd"})
        self._moment = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._money = [self._book.add_format({"num_format": "#,##0" + ("." + "0" * n if n else "")}) for n in range(5)]
        self._row = 0
        self._sheet.freeze_panes(1, 0)

    def write(self, rows: Sequence[Sequence[Cell]]) -> None:
        for row in rows:
            for place, cell in enumerate(row):
                self._put(place, cell)
            self._row += 1

    def close(self) -> None:
        self._book.close()

    def _put(self, place: int, cell: Cell) -> None:
        at = (self._row, place)
        match cell:
            case None:
                return
            case str():
                self._sheet.write_string(*at, cell[:LONGEST_TEXT], self._bold if self._row == 0 else None)
            case datetime():
                self._sheet.write_datetime(*at, cell, self._moment)
            case date():
                self._sheet.write_datetime(*at, datetime(cell.year, cell.month, cell.day), self._day)  # noqa: DTZ001 — a day
            case int() | Decimal() if _digits(cell) > MOST_DIGITS:
                self._sheet.write_string(*at, f"{cell:f}" if isinstance(cell, Decimal) else str(cell))
            case Decimal():
                digits = min(max(-int(cell.as_tuple().exponent), 0), 4)
                self._sheet.write_number(*at, float(cell), self._money[digits])
            case _:
                self._sheet.write_number(*at, cell)
