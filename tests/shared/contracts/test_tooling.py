"""`keyfold contracts` on a small shop: what it writes, what it keeps, and what it refuses to undo."""

import shutil
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import orjson
import pytest
import yaml
from pydantic import ConfigDict, Field, model_validator
from rich.console import Console

from shared.contracts.event import Contract, Event, JsonObject, encode
from shared.contracts.tooling import check, contracts_command, generate
from shared.contracts.tooling.published import CONTRACTS_FOLDER
from shared.contracts.tooling.topics import TOPICS_FILE
from shared.kit.money import Money

TOPICS = """
keyfold.shop.events:
  description: What happened in the shop.
  producer: shop
  consumers: [shop]
  key: stream_id
  partitions: 12
  retention: unlimited
  compacted: false
"""


class Address(Event):
    street: str = Field(max_length=5)
    inside: "Address | None" = None


class Sold(Event):
    """A thing changed hands."""

    thing: UUID
    price: Money
    at: datetime
    address: Address
    names: dict[str, str] = Field(default_factory=dict)
    note: str | None = None


class Sold2(Event):
    """Version 2: the note became a list."""

    thing: UUID
    price: Money
    at: datetime
    address: Address
    names: dict[str, str] = Field(default_factory=dict)
    notes: list[str]


def notes_listed(data: JsonObject) -> JsonObject:
    note = data.pop("note", None)
    return {**data, "notes": [] if note is None else [note]}


def notes_lost(data: JsonObject) -> JsonObject:
    data.pop("note", None)
    return {**data, "notes": []}


def shop(event: type[Event] = Sold, version: int = 1, upcaster: Any = None) -> Contract:
    contract = Contract("shop")
    contract.event("shop.sold", version)(type(event.__name__, (event,), {"__doc__": event.__doc__}))
    if upcaster:
        contract.upcast("shop.sold", version - 1)(upcaster)
    return contract


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / CONTRACTS_FOLDER).mkdir(parents=True)
    (tmp_path / TOPICS_FILE).write_text(TOPICS)
    return tmp_path


@pytest.fixture
def published(root: Path) -> Path:
    """The repository after the first version was published."""
    assert generate(root, [shop()]).problems == []
    return root


def folder(root: Path) -> Path:
    return root / CONTRACTS_FOLDER / "shop"


def content(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_new_event_gets_a_schema_and_examples_that_fit_it_and_decode(published: Path) -> None:
    schema = orjson.loads((folder(published) / "schemas/shop.sold.v1.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["description"] == "A thing changed hands."
    examples = {file.stem: file.read_bytes() for file in (folder(published) / "examples/shop.sold.v1").iterdir()}
    assert examples.keys() == {"full", "least"}
    assert orjson.loads(examples["full"]).keys() == schema["properties"].keys()
    for example in examples.values():
        jsonschema.validate(orjson.loads(example), schema)
        event = shop().decode("shop.sold", 1, example)
        assert orjson.loads(encode(event)) == orjson.loads(example)


def test_generating_again_changes_nothing_and_the_check_is_clean(published: Path) -> None:
    before = content(published)
    assert generate(published, [shop()]).writes == {}
    assert content(published) == before
    assert check(published, [shop()]) == []


def test_the_same_contract_gives_the_same_files_anywhere(root: Path, published: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(
        root / CONTRACTS_FOLDER, other / CONTRACTS_FOLDER, ignore=shutil.ignore_patterns("shop", "asyncapi.yaml")
    )
    generate(other, [shop()])
    assert {path.relative_to(other): data for path, data in content(other).items()} == {
        path.relative_to(published): data for path, data in content(published).items() if other not in path.parents
    }


def test_the_check_names_what_is_not_generated_and_writes_nothing(root: Path) -> None:
    problems = check(root, [shop()])
    assert "shared/contracts/shop/schemas/shop.sold.v1.json is missing: run `make contracts`" in problems
    assert not folder(root).exists()


def test_a_breaking_edit_is_refused_and_the_published_schema_stays(published: Path) -> None:
    before = content(published)
    result = generate(published, [shop(Sold2)])
    assert any(
        "notes: is new and required" in one and "Add version 2 and an upcaster" in one for one in result.problems
    )
    assert content(published) == before


class SoldWithChannel(Sold):
    channel: str | None = None


def test_a_new_optional_field_updates_the_schema_and_adds_an_example_that_has_it(published: Path) -> None:
    before = content(folder(published) / "examples")
    result = generate(published, [shop(SoldWithChannel)])
    assert result.problems == []
    after = content(folder(published) / "examples")
    assert before.items() < after.items()
    assert any("channel" in orjson.loads(data) for path, data in after.items() if path not in before)
    assert check(published, [shop(SoldWithChannel)]) == []


def test_a_next_version_keeps_the_old_schema_and_what_its_examples_become(published: Path) -> None:
    before = content(folder(published) / "schemas")
    contract = shop(Sold2, 2, notes_listed)
    assert generate(published, [contract]).problems == []
    assert before.items() < content(folder(published) / "schemas").items()
    kept = orjson.loads((folder(published) / "examples/shop.sold.v1/full.expected.json").read_bytes())
    assert kept["type_version"] == 2
    assert kept["data"]["notes"] == ["note"]
    assert check(published, [contract]) == []


def test_an_upcaster_that_makes_something_else_of_history_is_seen(published: Path) -> None:
    generate(published, [shop(Sold2, 2, notes_listed)])
    problems = check(published, [shop(Sold2, 2, notes_lost)])
    assert any("full.json no longer becomes what full.expected.json says" in one for one in problems)


@pytest.mark.parametrize(
    ("upcaster", "said"),
    [
        (None, "no upcaster from version 1 to 2"),
        (lambda data: data, "does not decode"),
        (lambda data: data["x"], "KeyError"),
    ],
)
def test_an_old_example_that_no_longer_decodes_is_named(published: Path, upcaster: Any, said: str) -> None:
    problems = check(published, [shop(Sold2, 2, upcaster)])
    assert any(said in one for one in problems), problems


def test_an_older_version_that_was_never_published_is_named(root: Path) -> None:
    problems = generate(root, [shop(Sold2, 2, notes_listed)]).problems
    assert any("schemas/shop.sold.v1.json is missing" in one for one in problems)
    assert any("shop.sold v1 has no example" in one for one in problems)


@pytest.mark.parametrize("path", ["examples/shop.sold.v1/full.json", "schemas/shop.sold.v1.json"])
def test_a_published_file_that_vanished_or_was_edited_is_named_and_not_made_anew(published: Path, path: str) -> None:
    file = folder(published) / path
    file.write_bytes(file.read_bytes().replace(b"note", b"Note"))
    assert any(f"{path} was published and has been edited" in one for one in generate(published, [shop()]).problems)
    file.unlink()
    assert any(f"{path} was published and has vanished" in one for one in generate(published, [shop()]).problems)
    assert not file.exists()
    assert any("vanished" in one for one in check(published, [shop()]))


def test_an_event_that_was_published_may_not_disappear_from_the_code(published: Path) -> None:
    problems = check(published, [Contract("shop")])
    assert any("shop.sold was published, and its class is gone" in one for one in problems)


def test_code_older_than_what_is_published_is_named(published: Path) -> None:
    generate(published, [shop(Sold2, 2, notes_listed)])
    assert any("the code knows shop.sold only up to v1" in one for one in check(published, [shop()]))


def test_a_hand_made_example_is_kept_and_must_decode(published: Path) -> None:
    example = orjson.loads((folder(published) / "examples/shop.sold.v1/full.json").read_bytes())
    mine = folder(published) / "examples/shop.sold.v1/rare.json"
    mine.write_bytes(orjson.dumps(example | {"note": "稀有"}))
    generate(published, [shop()])
    assert check(published, [shop()]) == []
    (mine.with_name("wrong.json")).write_text("{broken")
    assert any("wrong.json does not decode" in one for one in check(published, [shop()]))


class Bounded(Event):
    low: int
    high: int

    @model_validator(mode="after")
    def ordered(self) -> "Bounded":
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self


class BoundedWithExample(Bounded):
    model_config = ConfigDict(json_schema_extra={"examples": [{"low": 1, "high": 5}]})


def test_an_event_whose_rules_no_made_example_can_know_declares_one(root: Path) -> None:
    assert any("low must be below high" in one and "declare one" in one for one in check(root, [shop(Bounded)]))
    assert generate(root, [shop(BoundedWithExample)]).problems == []
    made = folder(root) / "examples/shop.sold.v1"
    assert [orjson.loads(file.read_bytes()) for file in made.iterdir()] == [{"low": 1, "high": 5}]


@pytest.mark.parametrize(
    ("find", "put", "said"),
    [
        ("producer: shop", "producer: mall", "produced by shop, not by mall"),
        ("keyfold.shop.events", "keyfold.mall.events", "the topic keyfold.shop.events of shop is missing"),
        ("keyfold.shop.events", "keyfold.mall.events", "nothing publishes keyfold.mall.events"),
        ("compacted: false", "compacted: true", "compacted"),
        ("retention: unlimited", "retention: 7d", "retention"),
        ("partitions: 12", "", "partitions: Field required"),
        ("key: stream_id", "key: [", "is not YAML"),
    ],
)
def test_topics_that_disagree_with_the_contracts_are_named(root: Path, find: str, put: str, said: str) -> None:
    (root / TOPICS_FILE).write_text(TOPICS.replace(find, put))
    assert any(said in one for one in check(root, [shop()])), check(root, [shop()])


def test_the_asyncapi_document_has_every_version_and_its_references_lead_somewhere(published: Path) -> None:
    generate(published, [shop(Sold2, 2, notes_listed)])
    document = yaml.safe_load((published / CONTRACTS_FOLDER / "asyncapi.yaml").read_text())
    assert document["channels"]["shop"]["address"] == "keyfold.shop.events"
    assert list(document["channels"]["shop"]["messages"]) == ["shop.sold.v1", "shop.sold.v2"]
    for reference in references(document):
        if reference.startswith("./"):
            assert (published / CONTRACTS_FOLDER / reference).is_file()
        else:
            target: Any = document
            for part in reference.removeprefix("#/").split("/"):
                target = target[part]


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [one for part in value for one in references(part)]
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [one for part in value.values() for one in references(part)]
    return []


def test_the_command_answers_with_an_exit_code_and_a_table(root: Path) -> None:
    def run(check: bool) -> tuple[int, str]:
        out = StringIO()
        return contracts_command(check, root, [shop()], Console(file=out, width=120)), out.getvalue()

    assert run(check=True)[0] == 1
    code, said = run(check=False)
    assert code == 0
    assert "schemas/shop.sold.v1.json" in said
    code, said = run(check=True)
    assert code == 0
    assert "Everything is up to date" in said


def test_times_in_examples_are_utc(published: Path) -> None:
    event = shop().decode("shop.sold", 1, (folder(published) / "examples/shop.sold.v1/full.json").read_bytes())
    assert isinstance(event, Sold)
    assert event.at == datetime(2017, 3, 1, 9, 30, tzinfo=UTC)
