"""Files of lists: what is in a cell, in CSV and in XLSX, and what is too long for one."""

import csv
import io
import re
import zipfile
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal
from xml.etree import ElementTree

import pytest

from shared.web import export as exports
from shared.web.export import Cell, Column, accepted, export, whole_units
from shared.web.problems import ProblemError

SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
COLUMNS: list[Column[tuple[Cell, ...]]] = [Column("名称", lambda row: row[0]), Column("Value", lambda row: row[1])]


async def pages(*rows: tuple[Cell, ...]) -> AsyncIterator[Sequence[tuple[Cell, ...]]]:
    for row in rows:
        yield [row]


async def content(form: Literal["csv", "xlsx"], *rows: tuple[Cell, ...]) -> bytes:
    answer = await export(form, "list", COLUMNS, pages(*rows), "Asia/Shanghai")
    return b"".join([bytes(part) async for part in answer.body_iterator if not isinstance(part, str)])


def cells(file: bytes) -> list[list[Any]]:
    """(type, text) of each cell of an XLSX file; type `n` a number, `s` a text."""
    with zipfile.ZipFile(io.BytesIO(file)) as book:
        tree = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
        shared = [
            "".join(one.itertext()) for one in ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
        ] if "xl/sharedStrings.xml" in book.namelist() else []  # fmt: skip
    found: list[list[Any]] = []
    for row in tree.iter(f"{SHEET}row"):
        found.append([])
        for cell in row:
            assert cell.find(f"{SHEET}f") is None, "a formula"
            kind, text = cell.get("t", "n"), "".join(cell.itertext())
            found[-1].append(
                ("s", shared[int(text)]) if kind == "s" else ("s", text) if kind == "inlineStr" else (kind, text)
            )
    return found


async def test_csv_is_utf8_with_a_mark_and_rows_of_text() -> None:
    file = await content("csv", ("顶点", 3), ('a,b\n"c"', None), ("d", date(2017, 3, 31)))
    assert file.startswith(b"\xef\xbb\xbf")
    assert b"\r\n" in file
    rows = list(csv.reader(io.StringIO(file.decode("utf-8-sig"), newline="")))
    assert rows == [["名称", "Value"], ["顶点", "3"], ['a,b\n"c"', ""], ["d", "2017-03-31"]]


async def test_money_is_exact_and_moments_are_told_in_the_business_time_zone() -> None:
    at = datetime(2017, 3, 31, 16, 30, tzinfo=UTC)
    file = await content("csv", ("m", whole_units(-(10**15), "CNY")), ("y", whole_units(1234, "JPY")), ("t", at))
    rows = list(csv.reader(io.StringIO(file.decode("utf-8-sig"))))
    assert [row[1] for row in rows[1:]] == ["-10000000000000.00", "1234", "2017-04-01 00:30:00"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum(a1)", "\t=1", "  =1", "\r=1", "＝1"])
async def test_no_text_is_a_formula(text: str) -> None:
    file = await content("csv", (text, None))
    [_, [cell, _]] = csv.reader(io.StringIO(file.decode("utf-8-sig"), newline=""))
    assert cell.startswith("'")
    assert cell.replace("'", "") == text
    assert cells(await content("xlsx", (text, None)))[1][0][0] == "s"


@pytest.mark.parametrize("text", ["a;=1+1", 'a; "=1+1', "a\n-1+1", "a\t@sum(a1)", '";=1'])
async def test_no_part_of_a_text_is_a_formula_where_semicolons_separate(text: str) -> None:
    file = await content("csv", (3, text))
    [row] = file.decode("utf-8-sig").split("\r\n")[1:-1]
    assert row.startswith('3,"')
    for cell in re.split(r"[;\t\n]", row):
        assert cell.strip(' "')[0] not in "=+-@"


async def test_what_a_spreadsheet_would_round_is_a_text() -> None:
    many, round_ = whole_units(12_345_678_901_234_567, "CNY"), whole_units(10**17, "CNY")
    rows = cells(await content("xlsx", ("m", many), ("r", round_), ("i", 1_234_567_890_123_456), ("j", -12)))
    assert [row[1] for row in rows[1:]] == [
        ("s", "123456789012345.67"),
        ("n", "1000000000000000"),
        ("s", "1234567890123456"),
        ("n", "-12"),
    ]


async def test_a_number_below_nothing_stays_a_number() -> None:
    assert (await content("csv", ("x", -5), ("y", Decimal("-0.50")))).decode("utf-8-sig").splitlines()[1:] == [
        '"x",-5',
        '"y",-0.50',
    ]


async def test_a_workbook_has_numbers_texts_and_days() -> None:
    rows = cells(
        await content(
            "xlsx", ("顶点", whole_units(1999, "CNY")), ("http://x", 3), ("d", date(2017, 3, 31)), ("n", None)
        )
    )
    assert rows[0] == [("s", "名称"), ("s", "Value")]
    assert rows[1] == [("s", "顶点"), ("n", "19.99")]
    assert rows[2] == [("s", "http://x"), ("n", "3")]
    assert rows[3] == [("s", "d"), ("n", "42825")]
    assert rows[4] == [("s", "n")]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_a_list_that_is_too_long_is_refused_and_not_cut_off(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MOST_ROWS", 2)
    assert await content(form, ("a", 1), ("b", 2))
    with pytest.raises(ProblemError) as refused:
        await content(form, ("a", 1), ("b", 2), ("c", 3))
    assert (refused.value.status, refused.value.code) == (413, "too_many_rows")


@pytest.mark.parametrize(
    ("header", "form"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("text/csv", "csv"),
        ("application/json, text/csv;q=0.9", "json"),
        ("text/csv;q=0.5, application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
        ("text/html, TEXT/CSV; q=0.3", "csv"),
        ("text/csv;q=x", "json"),
    ],
)
async def test_the_form_is_what_accept_likes_best(header: str | None, form: str) -> None:
    assert await accepted(header) == form
