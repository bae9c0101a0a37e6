"""Targets and submissions as read models: every word kept, the same rows however they came."""

from datetime import date, timedelta

import pytest

from services.opportunity.projections.forecasts import forecasts
from shared.contracts.opportunity import (
    ForecastJudgement,
    ForecastLine,
    ForecastMoney,
    ForecastSubmitted,
    TargetSet,
)
from shared.kit.money import Money
from shared.testing.given import START
from shared.testing.projections import fold_all, shuffled
from tests.services.opportunity.records import Ledger, entity

FIRST, LAST = date(2017, 1, 1), date(2017, 3, 31)
CNY = Money(minor=100, currency="CNY")
LINE = ForecastLine(
    opportunity_id=entity(1), process="short", process_version=1, stage=2, category="commit", amount=CNY, low=20, high=60,
    close_date=LAST, judged_amount=Money(minor=7, currency="CNY"),
)  # fmt: skip
FIGURE = ForecastMoney(
    category="commit", currency="CNY", count=1, minor=100, low_minor=20, high_minor=60, weighted_minor=40
)


def written() -> Ledger:
    ledger = Ledger()
    for minor, holder in ((100, None), (200, None), (300, entity(7))):
        said = TargetSet(
            holder_kind="person" if holder else "company", holder_id=holder, period="2017-Q1", first_day=FIRST,
            last_day=LAST, amount=Money(minor=minor, currency="CNY"),
        )  # fmt: skip
        stream = f"target-person-{holder}-2017-Q1" if holder else "target-company-2017-Q1"
        ledger.write(stream, said, START + timedelta(days=minor))
    for number, lines in ((1, (LINE, LINE.model_copy(update={"opportunity_id": entity(2), "amount": None}))), (2, ())):
        made = ForecastSubmitted(
            submission_id=entity(90 + number), holder_kind="team", holder_id=entity(7), teams=(entity(7), entity(8)),
            period="2017-Q1", first_day=FIRST, last_day=LAST, figures=(FIGURE,), lines=lines,
            judged=(ForecastJudgement(currency="CNY", count=1, minor=7),),
        )  # fmt: skip
        ledger.write(f"forecast-team-{entity(7)}-2017-Q1", made, START, START + timedelta(days=300 + number))
    return ledger


async def test_every_word_on_a_target_is_kept(database: str) -> None:
    rows = (await fold_all(database, forecasts, written().records))["target"]
    assert [(row["book"][:7], row["version"], row["minor"], row["holder_id"]) for row in rows] == [
        ("company", 1, 100, None),
        ("company", 2, 200, None),
        ("person-", 1, 300, entity(7)),
    ]
    assert rows[1]["effective_from"] == START + timedelta(days=200)


async def test_a_submission_is_kept_with_its_lines_and_the_next_changes_nothing_of_it(database: str) -> None:
    tables = await fold_all(database, forecasts, written().records)
    first, second = tables["submission"]
    assert (first["submission_id"], first["lines"], second["lines"]) == (entity(91), 2, 0)
    assert (first["teams"], first["figures"]) == ([entity(7), entity(8)], [FIGURE.model_dump()])
    assert (first["submitted_at"], first["recorded_at"]) == (START, START + timedelta(days=301))
    lines = [(row["version"], row["amount_minor"], row["judged_minor"]) for row in tables["submission_line"]]
    assert lines == [(1, 100, 7), (1, None, 7)]


@pytest.mark.parametrize("seed", range(3))
async def test_the_same_rows_in_any_order_of_streams_and_batches(database: str, seed: int) -> None:
    records = written().records
    at_once = await fold_all(database, forecasts, records)
    assert await fold_all(database, forecasts, shuffled(records, seed), batch=1 + seed) == at_once
