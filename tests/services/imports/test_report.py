"""What a run says of itself."""

from services.imports.mapping import load_mapping
from services.imports.report import findings, notes, summary, tally
from tests.services.imports.conftest import Desk, Folder


async def test_the_summary_has_a_row_per_file(desk: Desk, folder: Folder) -> None:
    folder.edit("sales_pipeline.csv", "L1,Ole Dahl,PumpTwo,Nordlicht Nord,Lost", "L1,Ole Dahl,PumpTwo,,Melted")
    result = await desk.load(folder)
    rows = summary(result, load_mapping())
    assert [row["file"] for row in rows] == ["accounts.csv", "products.csv", "sales_teams.csv", "sales_pipeline.csv"]
    assert rows[3] == {
        "file": "sales_pipeline.csv",
        "read": 4,
        "taken": 3,
        "created": 3,
        "changed": 0,
        "unchanged": 0,
        "rejected": 1,
        "doubted": 2,
        "won": 1,
        "won_sum": "1,054.00 USD",
    }
    assert (rows[0]["doubted"], rows[0]["won"]) == (1, None)


async def test_rejections_come_before_doubts_each_with_its_line(desk: Desk, folder: Folder) -> None:
    folder.edit("sales_pipeline.csv", "Engaging", "Melted")
    result = await desk.load(folder)
    assert findings(result)[0] == {
        "kind": "rejected",
        "file": "sales_pipeline.csv",
        "line": 4,
        "code": "unknown_stage",
        "message": "deal_stage 'Melted' is none of Prospecting, Engaging, Won, Lost",
    }
    assert [row["code"] for row in findings(result)[1:]] == ["spelling", "product_spelling", "undated"]


def test_many_findings_of_a_kind_are_one_row_of_the_tally(folder: Folder) -> None:
    folder.deals("A,,Pump One,Nordlicht,Prospecting,,,", "B,,Pump One,Nordlicht,Prospecting,,,")
    rows = {row["code"]: (row["kind"], row["rows"], row["first_line"]) for row in tally(folder.read())}
    assert rows["no_seller"] == ("doubted", 2, 2)
    assert rows["undated"] == ("doubted", 2, 2)


async def test_the_notes_say_what_undated_rows_got_and_that_a_dry_run_wrote_nothing(desk: Desk, folder: Folder) -> None:
    said = "\n".join(notes(await desk.load(folder, dry_run=True), load_mapping()))
    assert "1 opportunities have no engage_date" in said
    assert "nothing was written" in said
