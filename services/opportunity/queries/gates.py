"""The book of gates, read from its read model."""

from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.domain.gates.book import BOOK, GateBook, evolve_book
from services.opportunity.domain.gates.evaluate import imagined
from services.opportunity.projections.gates import entry, proof
from shared.contracts.event import Event
from shared.contracts.opportunity import CONTRACT


@dataclass(frozen=True, slots=True)
class Written:
    """A word in the book: who said it, and when it became known."""

    event: Event
    actor: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class ReadBook:
    """`version`: of its stream, for the ETag."""

    book: GateBook
    words: tuple[Written, ...]
    version: int


async def proved(connection: AsyncConnection) -> dict[tuple[str, int], datetime]:
    """When the proofs of each version were last tried at their set time."""
    rows = await connection.execute(
        select(proof.c.gate, proof.c.version, proof.c.proved_at).where(proof.c.book == BOOK)
    )
    return {(row.gate, row.version): row.proved_at for row in rows}


async def read_book(connection: AsyncConnection) -> ReadBook:
    rows = await connection.execute(select(entry).where(entry.c.book == BOOK).order_by(entry.c.number))
    book, words, version = GateBook(), list[Written](), 0
    for row in rows:
        event = CONTRACT.decode(row.type_name, row.type_version, orjson.dumps(row.data))
        book = evolve_book(book, imagined(event, row.recorded_at))
        words.append(Written(event, row.actor, row.recorded_at))
        version = row.number
    return ReadBook(book, tuple(words), version)
