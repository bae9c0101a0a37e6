"""Rows that are taken, taken with doubts, or rejected: every row is one of them."""

from datetime import date

import pytest

from services.imports.rows import Export, ExportError
from shared.kit.money import Money
from tests.services.imports.conftest import Folder


def codes(export: Export, what: str) -> list[tuple[str, int, str]]:
    return [(found.file, found.line, found.code) for found in getattr(export, what)]


def rejected(folder: Folder, row: str) -> tuple[int, str, str]:
    """(line, code, message) of the only rejection, in an export whose third line is this row."""
    folder.deals("W1,Ada Berg,Pump One,Nordlicht,Won,1/5/2026,2/10/2026,1054", row)
    export = folder.read()
    (found,) = export.rejections
    assert (export.read["sales_pipeline.csv"], len(export.opportunities)) == (2, 1)
    return found.line, found.code, found.message


def doubted(folder: Folder, row: str) -> list[str]:
    folder.deals(row)
    export = folder.read()
    assert not export.rejections
    (taken,) = export.opportunities
    assert [found.code for found in export.doubts if found.file == "sales_pipeline.csv"] == list(taken.doubts)
    return list(taken.doubts)


def test_a_clean_export_is_taken_whole(folder: Folder) -> None:
    export = folder.read()
    assert export.read == {"accounts.csv": 2, "products.csv": 2, "sales_teams.csv": 3, "sales_pipeline.csv": 4}
    assert not export.rejections
    won = export.opportunities[0]
    assert (won.line, won.id, won.owner, won.product, won.account) == (2, "W1", "Ada Berg", "Pump One", "Nordlicht")
    assert (won.opened_on, won.closed_on) == (date(2026, 1, 5), date(2026, 2, 10))
    assert won.value == Money(minor=1054_00, currency="USD")


def test_what_is_doubtful_is_taken_and_flagged(folder: Folder) -> None:
    assert codes(folder.read(), "doubts") == [
        ("accounts.csv", 3, "spelling"),
        ("sales_pipeline.csv", 3, "product_spelling"),
        ("sales_pipeline.csv", 4, "no_account"),
        ("sales_pipeline.csv", 5, "undated"),
    ]
    export = folder.read()
    assert (export.accounts[1].industry, export.accounts[1].flags) == ("technology", ("spelling",))
    assert export.opportunities[1].product == "Pump Two"


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        (",Ada Berg,Pump One,,Engaging,1/5/2026,,", "missing_id", "no id"),
        ("W1,Ada Berg,Pump One,,Engaging,1/5/2026,,", "duplicate_id", "line 2"),
        ("X,Ada Berg,Pump One,,Frozen,1/5/2026,,", "unknown_stage", "Prospecting, Engaging, Won, Lost"),
        ("X,Ada Berg,Pump One,,Lost,2/5/2026,2/4/2026,0", "closed_before_opened", "2026-02-04"),
        ("X,Ada Berg,Pump One,,Engaging,4/1/2026,,", "date_in_future", "2026-03-31"),
        ("X,Ada Berg,Pump One,,Won,1/5/2026,4/1/2026,5", "date_in_future", "close_date"),
        ("X,Ada Berg,Pump One,,Engaging,2026-01-05,,", "bad_date", "%m/%d/%Y"),
        ("X,Ada Berg,Pump One,,Engaging,2/30/2026,,", "bad_date", "2/30/2026"),
        ("X,Ada Berg,Pump One,,Engaging,1/5/0206,,", "bad_date", "1970"),
        ("X,Ada Berg,Pump One,,Won,1/5/2026,,5", "outcome_without_date", "close_date"),
        ("X,Ada Berg,Pump One,,Won,1/5/2026,2/5/2026,", "won_without_value", "close_value"),
        ("X,Ada Berg,Pump One,,Won,1/5/2026,2/5/2026,-5", "negative_money", "-5"),
        ("X,Ada Berg,Pump One,,Won,1/5/2026,2/5/2026,$5", "bad_money", "$5"),
        ('X,Ada Berg,Pump One,,Won,1/5/2026,2/5/2026,"1054,50"', "bad_money", "1,054"),
        ("X,Ada Berg,Pump One,,Won,1/5/2026,2/5/2026,1.005", "bad_money", "2 decimal places"),
        ("X,Ada Berg,Pump One,,Won,1/5/2026,2/5/2026,9e999999999", "bad_money", "9e9"),
        ("X,Ada Berg,Pump One,,Won,1/5/2026,2/5/2026,99999999999999999999", "bad_money", "more money"),
        ("X,Ada Berg,Pump One", "malformed_line", "3 cells"),
        ("X,Ada Berg,Pump One,\x00,Engaging,1/5/2026,,", "malformed_line", "NUL"),
        ('X,"Ada" Berg,Pump One,,Engaging,1/5/2026,,', "malformed_line", "CSV"),
        (f"{'X' * 81},Ada Berg,Pump One,,Engaging,1/5/2026,,", "bad_id", "81"),
        ('"X\nY",Ada Berg,Pump One,,Engaging,1/5/2026,,', "bad_id", "line break"),
    ],
)
def test_impossible_rows_are_rejected(folder: Folder, row: str, code: str, said: str) -> None:
    line, found, message = rejected(folder, row)
    assert (line, found) == (3, code)
    assert said in message


@pytest.mark.parametrize(
    ("row", "flags"),
    [
        ("X,Ada Berg,Pump One,Nordlicht,Engaging,1/5/2026,,", []),
        ("X,,,,Engaging,1/5/2026,,", ["no_seller", "no_account", "no_product"]),
        ("X,Nemo,Rope,Atlantis,Engaging,1/5/2026,,", ["unknown_seller", "unknown_account", "unknown_product"]),
        ("X,Mona Falk,pump  one,Nordlicht,Engaging,1/5/2026,,", ["product_spelling"]),
        ("X,Ada Berg,Pump One,Nordlicht,Won,,2/5/2026,5", ["undated"]),
        ("X,Ada Berg,Pump One,Nordlicht,Won,1/5/2026,2/5/2026,0", ["won_for_nothing"]),
    ],
)
def test_doubtful_rows_carry_their_doubts(folder: Folder, row: str, flags: list[str]) -> None:
    assert doubted(folder, row) == flags


def test_an_open_row_may_expect_to_close_on_a_day_to_come(folder: Folder) -> None:
    folder.deals("X,Ada Berg,Pump One,Nordlicht,Engaging,1/5/2026,6/30/2026,5")
    (row,) = folder.read().opportunities
    assert row.closed_on == date(2026, 6, 30)


def test_the_value_of_a_row_that_is_not_won_may_be_nothing(folder: Folder) -> None:
    assert folder.read().opportunities[1].value is None


def test_amounts_may_be_grouped_in_thousands(folder: Folder) -> None:
    folder.deals('X,Ada Berg,Pump One,Nordlicht,Won,1/5/2026,2/5/2026,"1,234,567.80"')
    assert folder.read().opportunities[0].value == Money(minor=1_234_567_80, currency="USD")


def test_a_product_needs_a_price_and_a_seller_a_manager(folder: Folder) -> None:
    folder.write("products.csv", "product,series,sales_price\nA,,\nB,,x\nB2,,-1\nC,,1\nC,,2\n")
    folder.write("sales_teams.csv", "sales_agent,manager,regional_office\nA,,\n,M,\nB,M,\n")
    assert codes(folder.read(), "rejections") == [
        ("products.csv", 2, "missing_price"),
        ("products.csv", 3, "bad_money"),
        ("products.csv", 4, "negative_money"),
        ("products.csv", 6, "duplicate_id"),
        ("sales_teams.csv", 2, "missing_manager"),
        ("sales_teams.csv", 3, "missing_id"),
    ]


def test_managers_that_sell_or_lead_in_two_regions_are_doubted(folder: Folder) -> None:
    folder.write("sales_teams.csv", "sales_agent,manager,regional_office\nA,M,North\nM,N,North\nB,M,South\n")
    assert codes(folder.read(), "doubts")[1:4] == [
        ("sales_teams.csv", 2, "manager_is_seller"),
        ("sales_teams.csv", 4, "manager_is_seller"),
        ("sales_teams.csv", 4, "manager_in_two_regions"),
    ]


def test_parents_that_are_not_there_or_stand_in_a_ring_are_left_out(folder: Folder) -> None:
    header = "account,sector,year_established,revenue,employees,office_location,subsidiary_of\n"
    rows = [("A", "B"), ("B", "A"), ("C", "C"), ("D", "A"), ("E", "nobody"), ("F", "E")]
    folder.write("accounts.csv", header + "".join(f"{name},,,,,,{parent}\n" for name, parent in rows))
    export = folder.read()
    parents = [(row.id, row.parent, row.flags) for row in export.accounts]
    assert parents == [
        ("A", None, ("parent_ring",)),
        ("B", None, ("parent_ring",)),
        ("C", None, ("parent_ring",)),
        ("D", "A", ()),
        ("E", None, ("unknown_parent",)),
        ("F", "E", ()),
    ]


def test_a_huge_cell_is_rejected_with_its_line(folder: Folder) -> None:
    folder.edit("accounts.csv", "power", "p" * 100_000)
    assert codes(folder.read(), "rejections") == [("accounts.csv", 2, "too_long")]


def test_a_folder_that_is_none_is_refused(folder: Folder) -> None:
    folder.path = folder.path / "nowhere"
    with pytest.raises(ExportError, match="no folder"):
        folder.read()
