"""What of a service is published (schemas, kept examples, fingerprints) and may no longer be undone."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from shared.contracts.event import Contract, Event, encode
from shared.contracts.tooling.compatibility import Schema, breaking_changes
from shared.contracts.tooling.examples import NoExampleError, declared, synthesised

CONTRACTS_FOLDER = Path("shared/contracts")
FINGERPRINTS = "published.sha256"
EXPECTED = ".expected.json"
_VERSIONED = re.compile(r"(?P<name>[a-z0-9_.]+)\.v(?P<version>[1-9][0-9]*)")


@dataclass
class Plan:
    """`writes`: path → content, of files that are missing or out of date. `problems`: what no writing mends.

    `versions`: per event type all that are published or about to be; `examples`: how many a service has.
    """

    writes: dict[Path, bytes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    versions: dict[str, list[int]] = field(default_factory=dict)
    examples: Counter[str] = field(default_factory=Counter)

    def write(self, path: Path, content: bytes) -> None:
        if not path.exists() or path.read_bytes() != content:
            self.writes[path] = content


def plan_service(root: Path, contract: Contract, plan: Plan) -> None:
    """Add to the plan what one service needs."""
    _Service(root, contract, plan).run()


def event_schema(cls: type[Event]) -> Schema:
    """The JSON Schema of an event's data. Open for further fields: a version may gain optional ones."""
    body = _open(cls.model_json_schema())
    body.pop("title", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:keyfold:event:{cls.type_name}:{cls.type_version}",
        "title": f"{cls.type_name} v{cls.type_version}",
        **body,
    }


def _open(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_open(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = schema.get("additionalProperties") is False
    return {key: _open(value) for key, value in schema.items() if not (closed and key == "additionalProperties")}


def _pretty(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


class _Service:
    """One pass over a service: the code's events, then what is on disk, then the fingerprints over both."""

    def __init__(self, root: Path, contract: Contract, plan: Plan) -> None:
        self.contract, self.plan = contract, plan
        self.folder = root / CONTRACTS_FOLDER / contract.service
        self.kept = self._read_fingerprints()
        self.published: dict[str, bytes] = {}  # path below the folder → content, to be fingerprinted

    def run(self) -> None:
        tampered = self._tampered()
        for name, cls in sorted(self.contract.events.items()):
            self._upcasters(name, cls)
            self._current(cls, tampered)
        self._unknown_upcasters()
        self._examples_on_disk()
        lines = [f"{self._digest(content)}  {path}" for path, content in sorted(self.published.items())]
        if not tampered:
            self.plan.write(self.folder / FINGERPRINTS, "".join(f"{line}\n" for line in lines).encode())

    # --- the code's events

    def _current(self, cls: type[Event], tampered: set[str]) -> None:
        """The newest version's schema and examples."""
        label = f"{cls.type_name}.v{cls.type_version}"
        self.plan.versions[cls.type_name] = self._versions(cls)
        schema = event_schema(cls)
        path = f"schemas/{label}.json"
        file = self.folder / path
        if file.exists():
            self.published[path] = file.read_bytes()
            if path in tampered:
                return
            breaking = breaking_changes(orjson.loads(file.read_bytes()), schema)
            if breaking:
                self._problem(
                    f"{label} is published and may not change like this: {'; '.join(breaking)}. "
                    f"Add version {cls.type_version + 1} and an upcaster from {cls.type_version}"
                )
                return
        elif path in self.kept:
            return  # named among the vanished
        content = _pretty(schema)
        self.plan.write(file, content)
        self.published[path] = content
        self._new_examples(cls, schema, label)

    def _versions(self, cls: type[Event]) -> list[int]:
        """All published versions and today's. A number that is missing between is a problem."""
        versions = list(range(1, cls.type_version + 1))
        for version in versions[:-1]:
            path = f"schemas/{cls.type_name}.v{version}.json"
            file = self.folder / path
            if file.exists():
                self.published[path] = file.read_bytes()
            elif path not in self.kept:
                self._problem(f"{path} is missing: a version is published before the next one is made")
            if not list((self.folder / "examples" / f"{cls.type_name}.v{version}").glob("*.json")):
                self._problem(f"{cls.type_name} v{version} has no example")
        return versions

    def _new_examples(self, cls: type[Event], schema: Schema, label: str) -> None:
        """Write declared examples that are not kept yet; made ones if there is none, or a field is in none."""
        folder = self.folder / "examples" / label
        present = [file.read_bytes() for file in sorted(folder.glob("*.json"))]
        known = [_json(content) for content in present]
        try:
            fresh = {
                f"declared-{number}": one
                for number, one in enumerate(declared(cls), start=1)
                if orjson.loads(one) not in known
            }
            shown = {key for one in known + [orjson.loads(one) for one in fresh.values()] for key in _keys(one)}
            if not (known or fresh) or not schema.get("properties", {}).keys() <= shown:
                made = synthesised(self.contract, cls, schema)
                fresh |= {key: one for key, one in made.items() if orjson.loads(one) not in known}
        except (NoExampleError, TypeError) as error:
            self._problem(str(error))
            return
        except ValidationError as error:
            first = error.errors()[0]
            self._problem(f"{label}: an example declared by its class is wrong: {first['msg']} at {first['loc']}")
            return
        for key, one in fresh.items():
            content = _pretty(orjson.loads(one))
            path = f"examples/{label}/{self._free_name(folder, key)}.json"
            self.plan.write(self.folder / path, content)
            self._keep_example(path, content)

    def _free_name(self, folder: Path, wanted: str) -> str:
        name, number = wanted, 1
        while (folder / f"{name}.json").exists():
            number += 1
            name = f"{wanted}-{number}"
        return name

    def _upcasters(self, name: str, cls: type[Event]) -> None:
        for version in range(1, cls.type_version):
            if (name, version) not in self.contract.upcasters:
                self._problem(f"{name}: there is no upcaster from version {version} to {version + 1}")

    def _unknown_upcasters(self) -> None:
        for name, version in sorted(self.contract.upcasters):
            cls = self.contract.events.get(name)
            if cls is None or not 1 <= version < cls.type_version:
                self._problem(f"{name}: the upcaster from version {version} leads nowhere")

    # --- what is on disk

    def _examples_on_disk(self) -> None:
        for file in sorted(self.folder.glob("schemas/*.json")):
            self._known(file.name.removesuffix(".json"), file)
        for folder in sorted(path for path in self.folder.glob("examples/*") if path.is_dir()):
            known = self._known(folder.name, folder)
            if known is None:
                continue
            cls, version = known
            for file in sorted(folder.glob("*.json")):
                if not file.name.endswith(EXPECTED):
                    self._keep_example(self._below(file), file.read_bytes())
                    self._decodes(file, cls, version)
                elif version == cls.type_version or not Path(str(file).replace(EXPECTED, ".json")).exists():
                    self._problem(f"{self._below(file)} belongs to no example of an older version")

    def _known(self, label: str, path: Path) -> tuple[type[Event], int] | None:
        """The class and version that a file or folder is about; a problem if the code does not know them."""
        match = _VERSIONED.fullmatch(label)
        if match is None:
            self._problem(f"{self._below(path)} is not named <event>.v<version>")
            return None
        name, version = match["name"], int(match["version"])
        cls = self.contract.events.get(name)
        if cls is None:
            self._problem(f"{self._below(path)}: {name} was published, and its class is gone; history has it for ever")
            return None
        if version > cls.type_version:
            self._problem(f"{self._below(path)}: published, but the code knows {name} only up to v{cls.type_version}")
            return None
        return cls, version

    def _decodes(self, file: Path, cls: type[Event], version: int) -> None:
        """An example must decode; one of an older version must become what is kept beside it."""
        try:
            event = self.contract.decode(cls.type_name, version, file.read_bytes())
        except Exception as error:  # noqa: BLE001 - upcasters are anybody's code; whatever they raise is told
            self._problem(
                f"{self._below(file)} does not decode: {type(error).__name__}: {' '.join(str(error).split())}"
            )
            return
        if version == cls.type_version:
            return
        expected_file = file.with_name(file.name.removesuffix(".json") + EXPECTED)
        today = {"type_version": cls.type_version, "data": orjson.loads(encode(event))}
        before = _json(expected_file.read_bytes()) if expected_file.exists() else None
        if isinstance(before, dict) and before.get("type_version") == cls.type_version:
            if before != today:
                self._problem(
                    f"{self._below(file)} no longer becomes what {expected_file.name} says: "
                    f"{orjson.dumps(today['data']).decode()}; mend the upcaster"
                )
            return
        self.plan.write(expected_file, _pretty(today))

    # --- fingerprints

    def _keep_example(self, path: str, content: bytes) -> None:
        if path not in self.published:
            self.plan.examples[self.contract.service] += 1
        self.published[path] = content

    def _read_fingerprints(self) -> dict[str, str]:
        file = self.folder / FINGERPRINTS
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        return {path: digest for digest, path in (line.split("  ", 1) for line in lines if "  " in line)}

    def _tampered(self) -> set[str]:
        """Published files that vanished or were edited; each is a problem."""
        found: set[str] = set()
        for path, digest in self.kept.items():
            file = self.folder / path
            if not file.exists():
                self._problem(f"{path} was published and has vanished: restore it")
                found.add(path)
            elif self._digest(file.read_bytes()) != digest:
                self._problem(f"{path} was published and has been edited: restore it")
                found.add(path)
        return found

    @staticmethod
    def _digest(content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()

    def _below(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _problem(self, text: str) -> None:
        self.plan.problems.append(f"{self.contract.service}: {text}")


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None  # told as an example that does not decode


def _keys(example: Any) -> Iterator[str]:
    if isinstance(example, dict):
        yield from example
