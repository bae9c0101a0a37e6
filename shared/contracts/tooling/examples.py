"""Examples of an event version: declared by its class, or made from its schema, the same every time."""

import uuid
from collections.abc import Iterator
from typing import Any

import orjson
from pydantic import ValidationError

from shared.contracts.event import Contract, Event, encode
from shared.contracts.tooling.compatibility import Schema, resolve

_NAMESPACE = uuid.UUID("5b0f3a52-4a53-4f0e-9c55-0f6b6f2d7a10")
_FORMATS = {
    "date-time": "2017-03-01T09:30:00Z",
    "date": "2017-03-01",
    "time": "09:30:00",
    "duration": "P1D",
    "uri": "https://example.com/",
    "email": "wang.fang@example.com",
}
_MAX_DEPTH = 12


class NoExampleError(ValueError):
    """No valid example can be made from the schema alone: the class must declare one."""


def declared(cls: type[Event]) -> list[bytes]:
    """The examples in `model_config["json_schema_extra"]`, as wire JSON. Raises ValidationError for a wrong one."""
    extra = cls.model_config.get("json_schema_extra")
    listed = extra.get("examples", []) if isinstance(extra, dict) else []
    if not isinstance(listed, list):
        raise TypeError(f"{cls.__name__}: the examples in json_schema_extra must be a list")
    return [encode(cls.model_validate_json(orjson.dumps(one))) for one in listed]


def synthesised(contract: Contract, cls: type[Event], schema: Schema) -> dict[str, bytes]:
    """`full` with every field, `least` with the required ones alone if that differs; wire JSON of today.

    A combination that the class refuses is left out. Raises NoExampleError when none is accepted.
    """
    made: dict[str, bytes] = {}
    refusals: list[str] = []
    for label, everything in (("full", True), ("least", False)):
        data = orjson.dumps(_instance(schema, schema, cls.type_name, everything, 0))
        try:
            wire = encode(contract.decode(cls.type_name, cls.type_version, data))
        except ValidationError as problem:
            refusals.append(f"{label}: {problem.errors()[0]['msg']} at {problem.errors()[0]['loc']}")
            continue
        if wire not in made.values():
            made[label] = wire
    if not made:
        raise NoExampleError(
            f"{cls.type_name} v{cls.type_version}: no example can be made from the schema ({'; '.join(refusals)}); "
            'declare one: model_config = ConfigDict(json_schema_extra={"examples": [...]})'
        )
    return made


def _instance(schema: Schema, root: Schema, path: str, everything: bool, depth: int) -> Any:
    schema = resolve(schema, root)
    if schema.get("examples") and depth:
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return _instance(schema[union][0], root, path, everything, depth + 1)
    match schema.get("type"):
        case "object":
            return dict(_fields(schema, root, path, everything, depth))
        case "array":
            return list(_items(schema, root, path, everything, depth))
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _text(schema, path)


def _fields(schema: Schema, root: Schema, path: str, everything: bool, depth: int) -> Iterator[tuple[str, Any]]:
    required = schema.get("required", ())
    optional_too = everything and depth < _MAX_DEPTH  # a model may contain itself
    for name, field in schema.get("properties", {}).items():
        if name in required or optional_too:
            yield name, _instance(field, root, f"{path}.{name}", everything, depth + 1)
    values = schema.get("additionalProperties")
    if isinstance(values, dict) and (schema.get("minProperties") or optional_too):
        yield "en", _instance(values, root, f"{path}.en", everything, depth + 1)


def _items(schema: Schema, root: Schema, path: str, everything: bool, depth: int) -> Iterator[Any]:
    fixed = schema.get("prefixItems", [])
    for number, item in enumerate(fixed):
        yield _instance(item, root, f"{path}.{number}", everything, depth + 1)
    wanted = max(schema.get("minItems", 0), 1 if everything and depth < _MAX_DEPTH else 0)
    if isinstance(schema.get("items"), dict):
        for number in range(len(fixed), wanted):
            yield _instance(schema["items"], root, f"{path}.{number}", everything, depth + 1)


def _number(schema: Schema) -> Any:
    lowest = schema.get("minimum", schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else None)
    highest = schema.get("maximum", schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else None)
    value = 1 if lowest is None else max(lowest, 1)
    return value if highest is None else min(value, highest)


def _text(schema: Schema, path: str) -> str:
    form = schema.get("format")
    if form == "uuid":
        return str(uuid.uuid5(_NAMESPACE, path))
    if form in _FORMATS:
        return _FORMATS[form]
    words = path.rsplit(".", 1)[-1].replace("_", " ")
    text = (words if not words.isdigit() else f"text {words}").ljust(schema.get("minLength", 0), "x")
    return text[: schema.get("maxLength", len(text))]
