"""The invented export is one that the default mapping takes."""

from datetime import date
from pathlib import Path

from bench.export import write_export
from services.imports.mapping import DEFAULT_MAPPING, load_mapping
from services.imports.reading import read_export


def test_every_row_is_read_and_the_same_ones_are_made_each_time(tmp_path: Path) -> None:
    write_export(tmp_path / "one", 300)
    write_export(tmp_path / "two", 300)
    made = [sorted((file.name, file.read_bytes()) for file in (tmp_path / name).iterdir()) for name in ("one", "two")]
    assert made[0] == made[1]
    export = read_export(tmp_path / "one", load_mapping(DEFAULT_MAPPING), date(2026, 1, 31))
    assert export.rejections == []
    assert len(export.opportunities) == 300
    assert {doubt.code for doubt in export.doubts} == {"product_spelling", "no_account", "undated"}
