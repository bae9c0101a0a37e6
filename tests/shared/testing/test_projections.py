"""What the tests of services rely on: rows come out of facts the same way however they were fed."""

from shared.testing.projections import fold_all, shuffled
from tests.shared.projections.visits import NoteTaken, VisitHeld, VisitPlanned, recorded, seller_load, visit_list

FACTS = recorded(
    ("b", VisitPlanned(seller="li")),
    ("a", VisitPlanned(seller="wang")),
    ("a", VisitHeld(minutes=30, topics=("价格",))),
    ("b", VisitHeld(minutes=60)),
    ("a", NoteTaken(text="call back")),
    ("a", VisitHeld(minutes=15, topics=("service", "price"))),
)


async def test_rows_are_given_by_table_in_order_of_primary_key(database: str) -> None:
    assert await fold_all(database, visit_list, FACTS) == {
        "visit": [
            {"visit_id": "a", "seller": "wang", "minutes": 45, "topics": ["价格", "service", "price"]},
            {"visit_id": "b", "seller": "li", "minutes": 60, "topics": []},
        ]
    }


async def test_batches_and_interleaving_make_no_difference(database: str) -> None:
    whole = await fold_all(database, visit_list, FACTS)
    for seed in range(3):
        assert await fold_all(database, visit_list, shuffled(FACTS, seed), batch=seed + 1) == whole


async def test_nothing_folded_gives_empty_tables(database: str) -> None:
    assert await fold_all(database, seller_load, []) == {"load": []}


def test_shuffling_keeps_the_order_of_each_stream() -> None:
    mixed = [shuffled(FACTS, seed) for seed in range(5)]
    for records in mixed:
        assert sorted(records, key=lambda r: r.position) == FACTS
        for stream in ("visit-a", "visit-b"):
            assert [r for r in records if r.stream_id == stream] == [r for r in FACTS if r.stream_id == stream]
    assert any(records != FACTS for records in mixed)
