"""Teams, and who belonged to them when."""

from datetime import datetime, timedelta

from hypothesis import given as sampled
from hypothesis import strategies as st

from services.account.domain import team
from services.account.domain.periods import FOREVER, Change, Period, periods
from services.account.domain.team import TeamInput, TeamName
from services.account.entities import TEAM
from shared.contracts.account import (
    ManagerAppointed,
    ManagerRelieved,
    TeamFormed,
    TeamMemberJoined,
    TeamMemberLeft,
    TeamMoved,
    TeamRenamed,
)
from shared.testing.given import START, Fact, given

EAST = TeamFormed(name="华东区")


def day(n: int) -> datetime:
    return START + timedelta(days=n)


def test_a_team_is_formed_once_under_its_parent() -> None:
    command = TeamInput(name="华东区")
    given(TEAM.aggregate).when(lambda s: team.decide_form(s, command, ["sales"])).then(
        TeamFormed(name="华东区", parent_team_id="sales")
    )
    given(TEAM.aggregate, [EAST]).when(lambda s: team.decide_form(s, command)).refused("already_formed")


def test_a_team_is_renamed() -> None:
    renamed = TeamRenamed(name="East")
    given(TEAM.aggregate, [EAST]).when(lambda s: team.decide_rename(s, TeamName(name="East"))).then(renamed)
    given(TEAM.aggregate, [EAST, renamed]).when(lambda s: team.decide_rename(s, TeamName(name="East"))).nothing()


def test_a_team_is_not_below_itself() -> None:
    given(TEAM.aggregate, [EAST]).when(lambda s: team.decide_move(s, "1", ["2"])).then(TeamMoved(parent_team_id="2"))
    given(TEAM.aggregate, [EAST]).when(lambda s: team.decide_move(s, "1", ["2", "1"])).refused("cycle")


def test_a_member_joins_once() -> None:
    joined = TeamMemberJoined(person_id="p")
    given(TEAM.aggregate, [EAST]).when(lambda s: team.decide_member_joins(s, "p", day(1))).then(joined)
    joined_before = given(TEAM.aggregate, [EAST, (joined, day(1))])
    joined_before.when(lambda s: team.decide_member_joins(s, "p", day(2))).nothing()


def test_a_member_turns_out_to_have_joined_earlier() -> None:
    joined = TeamMemberJoined(person_id="p")
    earlier = given(TEAM.aggregate, [EAST, (joined, day(5))])
    earlier.when(lambda s: team.decide_member_joins(s, "p", day(1))).then(joined)
    later = given(TEAM.aggregate, [EAST, (joined, day(5)), (joined, day(1))])
    assert later.state.periods() == [Period("member", "p", day(1), FOREVER)]


def test_only_a_member_leaves() -> None:
    facts: list[Fact] = [EAST, (TeamMemberJoined(person_id="p"), day(1))]
    given(TEAM.aggregate, facts).when(lambda s: team.decide_member_leaves(s, "p", day(2))).then(
        TeamMemberLeft(person_id="p")
    )
    given(TEAM.aggregate, facts).when(lambda s: team.decide_member_leaves(s, "q", day(2))).refused("not_a_member")
    given(TEAM.aggregate, facts).when(lambda s: team.decide_member_leaves(s, "p", day(0))).refused("not_a_member")


def test_a_new_list_of_members_names_who_leaves_and_who_joins() -> None:
    facts: list[Fact] = [EAST, (TeamMemberJoined(person_id="p"), day(1)), (TeamMemberJoined(person_id="q"), day(1))]
    given(TEAM.aggregate, facts).when(lambda s: team.decide_members(s, ["q", "r"], day(2))).then(
        [TeamMemberLeft(person_id="p"), TeamMemberJoined(person_id="r")]
    )
    given(TEAM.aggregate, facts).when(lambda s: team.decide_members(s, ["q", "p"], day(2))).nothing()


def test_a_new_manager_ends_the_former_ones_period() -> None:
    facts: list[Fact] = [EAST, (ManagerAppointed(person_id="a"), day(1)), (ManagerAppointed(person_id="b"), day(9))]
    state = given(TEAM.aggregate, facts).state
    assert state.periods() == [Period("manager", "a", day(1), day(9)), Period("manager", "b", day(9), FOREVER)]
    assert state.at(day(8), "manager") == {"a"}
    assert state.at(day(9), "manager") == {"b"}


def test_who_leads_already_is_not_appointed_again() -> None:
    facts: list[Fact] = [EAST, (ManagerAppointed(person_id="a"), day(1))]
    given(TEAM.aggregate, facts).when(lambda s: team.decide_appoint(s, "a", day(2))).nothing()
    given(TEAM.aggregate, facts).when(lambda s: team.decide_appoint(s, "b", day(2))).then(
        ManagerAppointed(person_id="b")
    )


def test_a_team_without_a_manager_has_nobody_to_relieve() -> None:
    facts: list[Fact] = [EAST, (ManagerAppointed(person_id="a"), day(1))]
    given(TEAM.aggregate, facts).when(lambda s: team.decide_relieve(s, day(2))).then(ManagerRelieved(person_id="a"))
    given(TEAM.aggregate, [EAST]).when(lambda s: team.decide_relieve(s, day(2))).nothing()


def test_who_joined_and_left_in_the_same_moment_was_never_there() -> None:
    facts: list[Fact] = [EAST, (TeamMemberJoined(person_id="p"), day(1)), (TeamMemberLeft(person_id="p"), day(1))]
    assert given(TEAM.aggregate, facts).state.periods() == []


changes = st.lists(
    st.builds(
        Change,
        at=st.integers(0, 6).map(day),
        order=st.integers(1, 1000),
        role=st.sampled_from(["manager", "member"]),
        person_id=st.sampled_from("abc"),
        begins=st.booleans(),
    ),
    unique_by=lambda change: change.order,
    max_size=20,
)


@sampled(changes, st.randoms())
def test_periods_do_not_depend_on_the_order_in_which_facts_became_known(facts: list[Change], random: object) -> None:
    shuffled = list(facts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert periods(shuffled) == periods(facts)


@sampled(changes)
def test_periods_of_a_person_and_of_managers_never_overlap(facts: list[Change]) -> None:
    found = periods(facts)
    assert all(period.since < period.until for period in found)
    for one in found:
        for other in found:
            same = (one.role, one.person_id) == (other.role, other.person_id) or one.role == other.role == "manager"
            if one is not other and same:
                assert one.until <= other.since or other.until <= one.since
