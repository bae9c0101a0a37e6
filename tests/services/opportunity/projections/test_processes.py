"""Sales processes, every version of them side by side."""

from services.opportunity.projections.processes import processes
from shared.testing.given import START
from shared.testing.projections import fold_all, shuffled
from tests.services.opportunity.deals import DEFAULT, SHORT
from tests.services.opportunity.records import Ledger


def written() -> Ledger:
    ledger = Ledger()
    ledger.write("sales_process-short", SHORT, START)
    ledger.write("sales_process-default", DEFAULT, START)
    ledger.write("sales_process-short", SHORT.model_copy(update={"version": 2, "selling": SHORT.selling[:1]}), START)
    return ledger


async def test_every_version_is_kept_with_what_its_stages_are_worth(database: str) -> None:
    tables = await fold_all(database, processes, written().records)
    assert [(row["key"], row["version"], row["stages"]) for row in tables["definition"]] == [
        ("default", 1, 8),
        ("short", 1, 3),
        ("short", 2, 1),
    ]
    short = [row for row in tables["selling_stage"] if (row["key"], row["version"]) == ("short", 1)]
    assert [(row["probability_before"], row["probability_after"]) for row in short] == [(0, 20), (20, 60), (60, 100)]
    states = [row["funnel_state"] for row in tables["buying_stage"] if row["key"] == "default"]
    assert states == ["searching"] * 2 + ["in_funnel"] * 3 + ["best"] * 3


async def test_it_comes_out_the_same_twice_one_by_one_and_shuffled(database: str) -> None:
    records = written().records
    tables = await fold_all(database, processes, records)
    assert await fold_all(database, processes, records, batch=1) == tables
    assert await fold_all(database, processes, shuffled(records, 3)) == tables
