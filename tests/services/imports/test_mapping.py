"""A mapping file is a user's: whatever is wrong with it is named, all of it at once."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.imports.mapping import DEFAULT_MAPPING, MappingError, load_mapping


def changed(tmp_path: Path, **parts: Any) -> Path:
    """The default mapping with these parts laid over it; `None` takes one away."""
    mapping = yaml.safe_load(DEFAULT_MAPPING.read_text(encoding="utf-8"))
    for part, value in parts.items():
        mapping[part] = mapping[part] | value if isinstance(value, dict) else value
        if value is None:
            del mapping[part]
    path = tmp_path / "mapping.yaml"
    path.write_text(yaml.safe_dump(mapping, allow_unicode=True), encoding="utf-8")
    return path


def faults(path: Path) -> str:
    with pytest.raises(MappingError) as error:
        load_mapping(path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_the_default_mapping_makes_a_process() -> None:
    definition = load_mapping().process.definition
    assert [stage.code for stage in definition.selling] == ["prospecting", "engaging"]


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    said = faults(changed(tmp_path, system="My CRM", currency="XXQ", date_format="day", teams=None, colour="red"))
    for place in ("system", "currency", "date_format", "teams", "colour"):
        assert f"\n  {place}: " in said


def test_a_misspelt_key_and_a_missing_column_are_named(tmp_path: Path) -> None:
    said = faults(changed(tmp_path, products={"prise": "x", "id": ""}))
    assert "products.prise: " in said
    assert "products.id: " in said


@pytest.mark.parametrize("value", ["%m/%d", "%H:%M", "31.3.2017", "%d %"])
def test_a_date_format_must_name_a_day(tmp_path: Path, value: str) -> None:
    assert "does not name a day" in faults(changed(tmp_path, date_format=value))


def test_a_file_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    assert "files.accounts" in faults(changed(tmp_path, files={"accounts": "../../etc/passwd"}))
    assert "named twice" in faults(changed(tmp_path, files={"accounts": "products.csv"}))


def test_spelling_must_be_of_a_column_that_is_used(tmp_path: Path) -> None:
    assert "'industri'" in faults(changed(tmp_path, accounts={"spelling": {"industri": {"a": "b"}}}))


def test_the_built_in_process_cannot_be_overwritten(tmp_path: Path) -> None:
    assert "built-in" in faults(changed(tmp_path, process={"key": "default"}))


def test_the_stages_must_make_a_process(tmp_path: Path) -> None:
    stage = {"names": {"en": "A"}, "buying": "b", "funnel_state": "best"}
    stages = [stage | {"code": "a", "probability": 50}, stage | {"code": "a", "probability": 10}]
    said = faults(changed(tmp_path, process={"stages": stages, "values": {"Open": {"stage": 3}}}))
    assert "'Open' names stage 3; the process has 2" in said
    assert "same code" in said
    assert "may not fall" in said


@pytest.mark.parametrize("content", [b"", b"- a\n", b"a: [", b"\xb2\xe9: 1"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_bytes(content)
    faults(path)


def test_a_missing_mapping_is_named(tmp_path: Path) -> None:
    faults(tmp_path / "nowhere.yaml")
