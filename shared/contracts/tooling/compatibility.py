"""Whether a published schema may be replaced: only by one that every old datum and every reader survives.

Allowed: another description, a further optional field, a further enum value, a wider bound. Anything else that
touches the data belongs into the next version, with an upcaster from this one.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_NOT_DATA = {
    "$schema",
    "$id",
    "$defs",
    "title",
    "description",
    "examples",
    "default",
    "deprecated",
    "discriminator",
}
_LOWER = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_UPPER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
_NESTED = {"properties", "required", "items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "enum"}


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """What would break, as sentences that name the field (`lines[].amount`); empty when `new` may replace `old`."""
    return list(_compare(old, new, "", _Definitions(old, new)))


def resolve(schema: Schema, root: Schema) -> Schema:
    """Follow `$ref`, and unwrap "this or null": null is never sent, since fields that are None are left out."""
    while True:
        if "$ref" in schema:
            name = schema["$ref"].removeprefix("#/$defs/")
            schema = {**root["$defs"][name], **{key: value for key, value in schema.items() if key != "$ref"}}
        elif len(branches := [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]) == 1:
            schema = {**branches[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
        elif branches and len(branches) < len(schema["anyOf"]):
            schema = {**schema, "anyOf": branches}
        elif "const" in schema:
            schema = {
                **{key: value for key, value in schema.items() if key != "const"},
                "enum": [schema["const"]],
            }
        else:
            return schema


def _model(schema: Schema) -> str:
    """The reference behind a field, also behind "this or null"; empty if there is none."""
    branches = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    return str((branches[0] if len(branches) == 1 else schema).get("$ref", ""))


class _Definitions:
    """The two documents that references point into, and the pairs being compared (a model may contain itself)."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self.old, self.new = old, new
        self.open: set[tuple[str, str]] = set()


def _compare(old: Schema, new: Schema, at: str, roots: _Definitions) -> Iterator[str]:
    pair = (_model(old), _model(new))
    if pair in roots.open:
        return
    if pair != ("", ""):
        roots.open.add(pair)
    before, after = resolve(old, roots.old), resolve(new, roots.new)
    name = at or "the event"
    for keyword in sorted((before.keys() | after.keys()) - _NOT_DATA - _NESTED - _LOWER - _UPPER):
        if before.get(keyword) != after.get(keyword):
            yield f"{name}: {keyword} was {before.get(keyword)!r} and is {after.get(keyword)!r}"
    yield from _bounds(before, after, name)
    yield from _enumeration(before, after, name)
    if before.get("default") != after.get("default"):
        yield (
            f"{name}: the default was {before.get('default')!r} and is {after.get('default')!r}, "
            "which changes what old data without it mean"
        )
    yield from _object(before, after, at, roots)
    yield from _lists(before, after, at, roots)
    roots.open.discard(pair)


def _bounds(before: Schema, after: Schema, name: str) -> Iterator[str]:
    for keyword in sorted((_LOWER | _UPPER) & after.keys()):
        narrower = keyword not in before or (
            after[keyword] > before[keyword] if keyword in _LOWER else after[keyword] < before[keyword]
        )
        if narrower:
            yield f"{name}: {keyword} was {before.get(keyword, 'open')} and is {after[keyword]}, which is narrower"


def _enumeration(before: Schema, after: Schema, name: str) -> Iterator[str]:
    if ("enum" in before) != ("enum" in after):
        yield f"{name}: {'no longer' if 'enum' in before else 'now'} one of a fixed set of values"
        return
    gone = [value for value in before.get("enum", ()) if value not in after["enum"]]
    if gone:
        yield f"{name}: no longer allows {', '.join(map(repr, gone))}"


def _object(before: Schema, after: Schema, at: str, roots: _Definitions) -> Iterator[str]:
    fields_before, fields_after = before.get("properties", {}), after.get("properties", {})
    required_before, required_after = set(before.get("required", ())), set(after.get("required", ()))
    for field in sorted(fields_before.keys() | fields_after.keys()):
        path = f"{at}.{field}" if at else field
        if field not in fields_after:
            yield f"{path}: was removed or renamed"
        elif field not in fields_before:
            if field in required_after:
                yield f"{path}: is new and required, but old data do not have it"
        elif field in required_after - required_before:
            yield f"{path}: has become required, but old data may lack it"
        elif field in required_before - required_after:
            yield f"{path}: has become optional, but readers rely on it"
        else:
            yield from _compare(fields_before[field], fields_after[field], path, roots)
    yield from _each("additionalProperties", before, after, f"{at}{{}}", roots)


def _lists(before: Schema, after: Schema, at: str, roots: _Definitions) -> Iterator[str]:
    yield from _each("items", before, after, f"{at}[]", roots)
    for keyword in ("prefixItems", "anyOf", "oneOf"):
        ours, theirs = before.get(keyword, []), after.get(keyword, [])
        if len(ours) != len(theirs):
            yield f"{at or 'the event'}: had {len(ours)} alternatives and has {len(theirs)} ({keyword})"
            continue
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True), start=1):
            yield from _compare(one, other, f"{at}({number})", roots)


def _each(keyword: str, before: Schema, after: Schema, at: str, roots: _Definitions) -> Iterator[str]:
    one, other = before.get(keyword), after.get(keyword)
    if isinstance(one, dict) and isinstance(other, dict):
        yield from _compare(one, other, at, roots)
    elif one != other:
        yield f"{at}: {keyword} was {one!r} and is {other!r}"
