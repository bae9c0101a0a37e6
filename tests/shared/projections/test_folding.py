"""Facts into rows: groups, copies, batches, and the order in which partitions come."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Column, Index, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB

from shared.contracts.event import Recorded
from shared.projections.chain import PartitionCursor
from shared.projections.definition import Projection, Rows
from shared.projections.rows import UndeclaredGroupError
from shared.testing.projections import fold_all, shuffled
from tests.shared.projections.visits import VISITS, VisitHeld, VisitPlanned, recorded, seller_load, visit_list

FACTS = recorded(
    *((f"v{n}", VisitPlanned(seller="wang" if n % 3 else "li")) for n in range(12)),
    *((f"v{n % 12}", VisitHeld(minutes=n, topics=(f"topic {n}",))) for n in range(36)),
)


@pytest.mark.parametrize("projection", [visit_list, seller_load], ids=lambda projection: projection.name)
async def test_rebuilt_equals_incremental_however_the_streams_interleave(database: str, projection: Projection) -> None:
    whole = await fold_all(database, projection, FACTS)
    assert all(whole.values())
    for seed in range(4):
        assert await fold_all(database, projection, shuffled(FACTS, seed), batch=1 + 5 * seed) == whole


async def test_an_event_of_an_older_version_is_folded_as_one_of_today(database: str) -> None:
    assert VISITS.decode("visits.visit_held", 1, b'{"hours": 2}') == VisitHeld(minutes=120)
    assert (await fold_all(database, visit_list, recorded(("a", VisitHeld(minutes=120)))))["visit"][0]["minutes"] == 120


def counting(change: Any) -> Projection:
    """A projection of one table whose rows `change` is to alter for each visit held."""
    counted = Projection("counted", sources=[VISITS])
    table = counted.table(
        "counted",
        Column("visit_id", Text, primary_key=True),
        Column("n", Integer, primary_key=True),
        Column("times", Integer),
        Column("notes", JSONB),
    )

    @counted.on(VisitHeld)
    def held(rows: Rows, e: Recorded[VisitHeld]) -> None:
        change(rows, table, e)

    return counted


async def test_a_row_changed_in_place_and_put_is_written(database: str) -> None:
    def change(rows: Rows, table: Any, e: Recorded[VisitHeld]) -> None:
        row = rows.one(table, e.entity_id, 0) or {"visit_id": e.entity_id, "n": 0, "times": 0}
        row["times"] += 1
        rows.put(table, row)

    facts = recorded(("a", VisitHeld(minutes=1)), ("a", VisitHeld(minutes=1)), ("a", VisitHeld(minutes=1)))
    for batch in (0, 1, 2):
        [row] = (await fold_all(database, counting(change), facts, batch=batch))["counted"]
        assert row["times"] == 3


async def test_a_row_that_is_not_put_is_not_changed(database: str) -> None:
    def change(rows: Rows, table: Any, e: Recorded[VisitHeld]) -> None:
        row = rows.one(table, e.entity_id, 0)
        if row is None:
            rows.put(table, {"visit_id": e.entity_id, "n": 0, "times": 1})
        else:
            row["times"] += 1
            rows.of(table, e.entity_id)[0]["times"] += 1

    facts = recorded(("a", VisitHeld(minutes=1)), ("a", VisitHeld(minutes=1)), ("a", VisitHeld(minutes=1)))
    for batch in (0, 1):
        [row] = (await fold_all(database, counting(change), facts, batch=batch))["counted"]
        assert row["times"] == 1


async def test_json_looks_the_same_inside_a_batch_and_after_it(database: str) -> None:
    def change(rows: Rows, table: Any, e: Recorded[VisitHeld]) -> None:
        row = rows.one(table, e.entity_id, 0)
        seen = "none" if row is None else type(row["notes"]["topics"]).__name__
        rows.put(table, {"visit_id": e.entity_id, "n": 0, "notes": {"topics": e.event.topics, "seen": seen}})

    facts = recorded(("a", VisitHeld(minutes=1)), ("a", VisitHeld(minutes=1, topics=("价格",))))
    whole = await fold_all(database, counting(change), facts)
    assert whole["counted"][0]["notes"] == {"topics": ["价格"], "seen": "list"}
    assert await fold_all(database, counting(change), facts, batch=1) == whole


async def test_rows_of_a_group_come_in_order_of_primary_key(database: str) -> None:
    order: list[list[int]] = []

    def change(rows: Rows, table: Any, e: Recorded[VisitHeld]) -> None:
        rows.put(table, {"visit_id": e.entity_id, "n": e.event.minutes})
        order.append([row["n"] for row in rows.of(table, e.entity_id)])

    facts = recorded(*(("a", VisitHeld(minutes=n)) for n in (10, -1, 9, -20)))
    await fold_all(database, counting(change), facts, batch=2)
    assert order == [[10], [-1, 10], [-1, 9, 10], [-20, -1, 9, 10]]


async def test_rows_are_inserted_replaced_and_deleted_in_one_batch_or_in_several(database: str) -> None:
    def change(rows: Rows, table: Any, e: Recorded[VisitHeld]) -> None:
        n = abs(e.event.minutes)
        if e.event.minutes < 0:
            rows.delete(table, e.entity_id, n)
        else:
            old = rows.one(table, e.entity_id, n) or {"times": 0}
            rows.put(table, {"visit_id": e.entity_id, "n": n, "times": old["times"] + 1})

    facts = recorded(*(("a", VisitHeld(minutes=n)) for n in (1, 2, 1, -2, 3, -3, 3, -7, -1, 1)))
    for batch in range(len(facts)):
        rows = (await fold_all(database, counting(change), facts, batch=batch))["counted"]
        assert [(row["n"], row["times"]) for row in rows] == [(1, 1), (3, 1)]


async def test_a_long_batch_lets_others_have_the_event_loop(database: str) -> None:
    turns, folding = 0, True
    seen: set[int] = set()
    loop = asyncio.get_running_loop()

    def turn() -> None:
        nonlocal turns
        turns += 1
        if folding:
            loop.call_soon(turn)

    turn()
    facts = recorded(*(("a", VisitHeld(minutes=1)) for _ in range(1_000)))
    await fold_all(database, counting(lambda rows, table, e: seen.add(turns)), facts)
    folding = False
    assert len(seen) >= 10


async def test_a_group_that_the_key_function_did_not_name_is_refused(database: str) -> None:
    def change(rows: Rows, table: Any, e: Recorded[VisitHeld]) -> None:
        rows.one(table, "another", 0)

    with pytest.raises(UndeclaredGroupError, match="counted: group 'another' was not loaded"):
        await fold_all(database, counting(change), recorded(("a", VisitHeld(minutes=1))))


def test_an_event_is_handled_once_and_a_table_has_a_primary_key() -> None:
    wrong = Projection("wrong", sources=[VISITS])
    wrong.on(VisitHeld)(lambda rows, e: None)
    with pytest.raises(ValueError, match="VisitHeld is handled twice"):
        wrong.on(VisitHeld)(lambda rows, e: None)
    with pytest.raises(ValueError, match="table loose has no primary key"):
        wrong.table("loose", Column("n", Integer))


def test_a_change_of_a_table_changes_the_shape() -> None:
    def shape(*columns: Column[Any] | Index) -> str:
        made = Projection("made", sources=[VISITS])
        made.table("t", Column("id", Text, primary_key=True), *columns)
        return made.shape

    assert shape(Column("n", Integer)) == shape(Column("n", Integer))
    assert len({shape(), shape(Column("n", Integer)), shape(Column("n", Text)), shape(Column("m", Integer))}) == 4
    assert shape(Column("n", Integer)) != shape(Column("n", Integer), Index("by_n", "n"))


def test_where_a_reader_stands_in_a_partition() -> None:
    cursor = PartitionCursor(position=5, offset=9)
    assert cursor.judge(5, 2) == "drop"
    assert cursor.judge(8, 5) == "take"
    assert cursor.judge(9, 7) == "missing"
    assert cursor.gap == "after position 5 comes 9, whose predecessor 7 was not read"
    assert cursor.judge(4, 2) == "drop"
    assert cursor.gap is not None
    assert cursor.judge(8, 3) == "conflict"
    assert cursor.judge(7, 5) == "take"
    assert cursor.gap is None
