"""What the README names is there."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.catalogue import SERVICES
from services.cli import Name, app
from shared.kit.settings import API_NEEDS, PREFIX, WORKER_NEEDS, Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_stands_in_the_table_with_its_default() -> None:
    rows = re.findall(r"^\| `(KEYFOLD_\w+)` \| (.+) \|(.*)\|$", README, re.MULTILINE)
    expected = []
    for name, setting in Settings.model_fields.items():
        default = "" if setting.default is None else f"; default `{setting.default}`"
        needed = " API, worker " if name in WORKER_NEEDS else " API " if name in API_NEEDS else "  "
        expected.append((PREFIX + name.upper(), f"{setting.description}{default}", needed))
    assert rows == expected


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_target_of_make_that_it_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)\b", README, re.MULTILINE)) <= targets


COMMANDS = sorted(set(re.findall(r"(?:\.venv/bin/|`|^)keyfold ([a-z-]+(?: (?:crm-csv|list))?)", README, re.MULTILINE)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_it_names_exists(command: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), "--help"])
    assert done.exit_code == 0, done.output


def test_the_import_rules_name_every_service() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    listed = [rule.get("modules") or rule["source_modules"] for rule in rules[:2]]
    assert [sorted(names) for names in listed] == [sorted(f"services.{name}" for name in SERVICES)] * 2


def test_the_command_line_knows_every_service() -> None:
    assert [name.value for name in Name] == list(SERVICES)


CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")


def _shape(text: str) -> dict[str, object]:
    """What both languages must have alike: headings, code, what tables speak of, links."""
    code = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
    prose = code.sub("", text)
    return {
        "headings": [len(level) for level in re.findall(r"^(#+) ", prose, re.MULTILINE)],
        "code": code.findall(text),
        "variables": re.findall(r"^\| `(KEYFOLD_\w+)`", prose, re.MULTILINE),
        "rows": len(re.findall(r"^\|", prose, re.MULTILINE)),
        "links": sorted(link for link in set(re.findall(r"\]\(([^)#]+)\)", prose)) if not link.startswith("README")),
    }


def test_the_chinese_readme_says_as_much() -> None:
    chinese, english = _shape(CHINESE), _shape(README)
    assert chinese.keys() == english.keys()
    for what, found in english.items():
        assert chinese[what] == found, what
