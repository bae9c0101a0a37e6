"""What is a row of a CSV file, on which line it begins, and which files are none."""

from pathlib import Path

import pytest

from services.imports.lines import Line, lines
from services.imports.rows import ExportError


def read(tmp_path: Path, content: str | bytes, *needed: str) -> list[Line]:
    path = tmp_path / "some.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(lines(path, needed or ("a", "b")))


def refused(tmp_path: Path, content: str | bytes, *said: str) -> None:
    with pytest.raises(ExportError) as error:
        read(tmp_path, content)
    for words in ("some.csv", *said):
        assert words in str(error.value)


def test_rows_are_numbered_by_the_line_they_begin_on(tmp_path: Path) -> None:
    found = read(tmp_path, 'a,b\n1,2\n\n"two\nlines",3\n 4 ,5\n')
    assert found == [
        Line(2, {"a": "1", "b": "2"}),
        Line(4, {"a": "two\nlines", "b": "3"}),
        Line(6, {"a": "4", "b": "5"}),
    ]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_way_to_end_a_line_is_read(tmp_path: Path, ending: str) -> None:
    assert [line.number for line in read(tmp_path, ending.join(("a,b", "1,2", "3,4")))] == [2, 3]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeffa,b\n1,2\n") == [Line(2, {"a": "1", "b": "2"})]


def test_a_header_only_has_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b\n") == []


def test_columns_that_nobody_asked_for_do_no_harm(tmp_path: Path) -> None:
    assert [line.cells["a"] for line in read(tmp_path, "x,b,x,a\n0,2,0,1\n")] == ["1"]


def test_malformed_rows_are_named_and_the_next_ones_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, 'a,b\n1\n1,2,3\n1,\x00\n"1"x,2\n5,6\n')
    assert [line.number for line in found] == [2, 3, 4, 5, 6]
    assert [bool(line.fault) for line in found] == [True, True, True, True, False]
    assert found[0].fault == "1 cells where the header has 2"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="does not exist"):
        list(lines(tmp_path / "nowhere.csv", ("a",)))
    with pytest.raises(ExportError, match="cannot be read"):
        list(lines(tmp_path, ("a",)))


def test_an_empty_file_says_what_it_needs(tmp_path: Path) -> None:
    refused(tmp_path, "", "empty", "a, b")


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    refused(tmp_path, "a;b\n1;2\n", "no column 'a', 'b'", "'a;b'")


def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "a,b,a\n1,2,3\n", "'a' stands in the header more than once")


def test_other_encodings_are_refused_with_line_and_guess(tmp_path: Path) -> None:
    refused(tmp_path, "a,b\n1,2\n华东,3\n".encode("gbk"), "line 3", "GBK", "UTF-8")
    refused(tmp_path, "a,b\n1,2\n".encode("utf-16"), "line 1", "UTF-16")


def test_a_quotation_mark_that_is_never_closed_would_swallow_the_rest(tmp_path: Path) -> None:
    refused(tmp_path, 'a,b\n1,2\n"3,4\n5,6\n', "line 3", "never closed")
    refused(tmp_path, 'a,b\n1,"' + "x" * 200_000 + '"\n', "line 2", "never closed")
