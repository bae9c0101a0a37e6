"""People, teams, and who belonged where: by what happened when, and by what was known when."""

from datetime import UTC, datetime

from services.account.domain.periods import FOREVER
from services.account.projections.organisation import organisation
from shared.contracts.account import (
    ManagerAppointed,
    PersonChanged,
    PersonExternalIdLinked,
    PersonJoined,
    PersonLeft,
    PersonReturned,
    TeamExternalIdLinked,
    TeamFormed,
    TeamMemberJoined,
    TeamMemberLeft,
    TeamMoved,
    TeamRenamed,
)
from shared.testing.projections import fold_all, shuffled
from tests.services.account.projections.facts import facts, ident, learned, together

JANUARY, MARCH, JUNE = (datetime(2017, month, 1, tzinfo=UTC) for month in (1, 3, 6))
LI, WANG = ident("li"), ident("wang")

PEOPLE = together(
    facts(
        "person",
        "li",
        PersonJoined(name="Li", subject="li"),
        PersonExternalIdLinked(system="crm", external_id="P-1"),
        (PersonLeft(), MARCH),
        (PersonChanged(name="李", names={"en": "Li"}), JUNE),
    ),
    facts("person", "wang", PersonJoined(name="Wang"), PersonLeft(), PersonReturned()),
)
TEAMS = together(
    facts(
        "team",
        "east",
        TeamFormed(name="East"),
        TeamMoved(parent_team_id=ident("sales")),
        TeamRenamed(name="华东区"),
        TeamExternalIdLinked(system="crm", external_id="T-1"),
    ),
    learned(
        "team",
        "sales",
        [
            (TeamFormed(name="Sales"), JANUARY, JANUARY),
            (ManagerAppointed(person_id=LI), JANUARY, JANUARY),
            (TeamMemberJoined(person_id=WANG), JUNE, JUNE),
            (ManagerAppointed(person_id=WANG), MARCH, datetime(2017, 6, 2, tzinfo=UTC)),
            (TeamMemberJoined(person_id=LI), JUNE, datetime(2017, 6, 3, tzinfo=UTC)),
            (TeamMemberLeft(person_id=LI), JUNE, datetime(2017, 6, 3, tzinfo=UTC)),
        ],
    ),
)


async def test_rows_are_the_same_however_the_facts_are_fed(database: str) -> None:
    records = together(PEOPLE, TEAMS)
    whole = await fold_all(database, organisation, records)
    for seed in range(3):
        assert await fold_all(database, organisation, shuffled(records, seed), batch=seed + 1) == whole


async def test_people_and_teams_are_as_they_are_now(database: str) -> None:
    found = await fold_all(database, organisation, together(PEOPLE, TEAMS))
    people = {row["id"]: row for row in found["person"]}
    assert (people[LI]["name"], people[LI]["left_at"], people[LI]["subject"]) == ("李", MARCH, None)
    assert (people[LI]["external_ids"], people[LI]["search"]) == ({"crm": "P-1"}, "李\nli\np-1")
    assert people[WANG]["left_at"] is None
    teams = {row["id"]: row for row in found["team"]}
    east = teams[ident("east")]
    assert (east["name"], east["parent_team_id"], east["external_ids"]) == ("华东区", ident("sales"), {"crm": "T-1"})
    assert teams[ident("sales")]["version"] == 6


async def test_a_late_fact_closes_what_was_believed_and_deletes_nothing(database: str) -> None:
    found = await fold_all(database, organisation, TEAMS)
    learned_at = datetime(2017, 6, 2, tzinfo=UTC)
    spans = {
        (row["role"], row["person_id"], row["valid_from"], row["valid_to"], row["known_from"], row["known_to"])
        for row in found["team_period"]
    }
    assert spans == {
        ("manager", LI, JANUARY, FOREVER, JANUARY, learned_at),
        ("manager", LI, JANUARY, MARCH, learned_at, FOREVER),
        ("manager", WANG, MARCH, FOREVER, learned_at, FOREVER),
        ("member", WANG, JUNE, FOREVER, JUNE, FOREVER),
    }
