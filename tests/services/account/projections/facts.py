"""Facts about several entities, as the store would have them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any
from uuid import UUID, uuid5

from shared.contracts.event import Event, Recorded
from shared.testing.given import Fact, history

_NAMES = UUID("3c0f5f0e-41bb-4f1b-8d0e-0c3a4d9e6b2f")


def ident(name: str) -> str:
    """The id of an entity that tests call so."""
    return str(uuid5(_NAMES, name))


def facts(category: str, name: str, *said: Fact) -> list[Recorded[Any]]:
    return history(category, said, entity_id=ident(name))


def learned(category: str, name: str, said: Iterable[tuple[Event, datetime, datetime]]) -> list[Recorded[Any]]:
    """Facts with the moment they happened and the moment they were recorded."""
    rows = list(said)
    recorded = history(category, [(event, occurred) for event, occurred, _ in rows], entity_id=ident(name))
    return [replace(one, recorded_at=row[2]) for one, row in zip(recorded, rows, strict=True)]


def together(*streams: list[Recorded[Any]]) -> list[Recorded[Any]]:
    return list(chain.from_iterable(streams))
