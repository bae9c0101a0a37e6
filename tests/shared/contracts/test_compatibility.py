"""Which edits of a published event version are let through, and which are named as breaking."""

from typing import Any, Literal

import pytest
from pydantic import Field

from shared.contracts.event import Event
from shared.contracts.tooling.compatibility import breaking_changes
from shared.contracts.tooling.published import event_schema
from shared.kit.money import Money


class Line(Event):
    sku: str
    amount: Money


class Node(Event):
    name: str
    parent: "Node | None" = None
    children: list["Node"] = Field(default_factory=list)


BEFORE: dict[str, Any] = {
    "stage": (int, Field(ge=1, le=9)),
    "why": (Literal["price", "trust"], ...),
    "note": (str | None, None),
    "lines": (list[Line], ...),
    "names": (dict[str, str], ...),
    "node": (Node | None, None),
    "unit": (str, "piece"),
}


def schema(fields: dict[str, Any]) -> dict[str, Any]:
    from pydantic import create_model

    made: type[Event] = create_model("Made", __base__=Event, **fields)
    made.type_name, made.type_version = "shop.made", 1
    return event_schema(made)


def changed(**fields: Any) -> dict[str, Any]:
    return schema({name: one for name, one in (BEFORE | fields).items() if one is not None})


class LineWithoutSku(Event):
    amount: Money


class LineWithNote(Line):
    note: str = ""


class NodeOfNumbers(Event):
    name: int
    parent: "NodeOfNumbers | None" = None
    children: list["NodeOfNumbers"] = Field(default_factory=list)


@pytest.mark.parametrize(
    "after",
    [
        changed(),
        changed(extra=(str | None, None)),
        changed(extra=(list[Line], Field(default_factory=list))),
        changed(lines=(list[LineWithNote], ...)),
        changed(why=(Literal["price", "trust", "time"], ...)),
        changed(stage=(int, Field(ge=0, le=10, description="said better"))),
        changed(note=(str, None)),
    ],
)
def test_what_every_old_datum_and_reader_survives_is_let_through(after: dict[str, Any]) -> None:
    assert breaking_changes(changed(), after) == []


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (changed(note=None), "note: was removed or renamed"),
        (changed(stage=None, level=(int, Field(ge=1, le=9))), "stage: was removed or renamed"),
        (changed(extra=(str, ...)), "extra: is new and required"),
        (changed(note=(str, ...)), "note: has become required"),
        (changed(stage=(int | None, None)), "stage: has become optional"),
        (changed(stage=(str, ...)), "stage: type was 'integer' and is 'string'"),
        (changed(stage=(int | str, ...)), "stage: type was 'integer' and is None"),
        (changed(note=(list[str] | None, None)), "note: type was 'string' and is 'array'"),
        (changed(stage=(int, Field(ge=2, le=9))), "stage: minimum was 1 and is 2"),
        (changed(stage=(int, Field(ge=1, le=9, lt=5))), "stage: exclusiveMaximum was open and is 5"),
        (changed(why=(Literal["price"], ...)), "why: no longer allows 'trust'"),
        (changed(why=(str, ...)), "why: no longer one of a fixed set"),
        (changed(names=(dict[str, int], ...)), "names{}: type was 'string' and is 'integer'"),
        (changed(lines=(list[LineWithoutSku], ...)), "lines[].sku: was removed or renamed"),
        (changed(lines=(list[str], ...)), "lines[]: type was 'object' and is 'string'"),
        (changed(node=(NodeOfNumbers | None, None)), "node.name: type was 'string' and is 'integer'"),
        (changed(unit=(str, "box")), "unit: the default was 'piece' and is 'box'"),
        (changed(note=(str | int | None, None)), "note: type was 'string' and is None"),
    ],
)
def test_what_would_break_is_named(after: dict[str, Any], said: str) -> None:
    assert any(one.startswith(said) for one in breaking_changes(changed(), after)), breaking_changes(changed(), after)
