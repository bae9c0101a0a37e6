"""Stories as they are written down: everything in them exists, and they are told in order, before today."""

from datetime import date, timedelta

import pytest
from pydantic import ValidationError

from services.demo.company import company, notes
from services.demo.stories import Story, stories
from services.demo.telling import STAGES, Ids, Step, tell
from shared.kit.calendar import BusinessCalendar
from shared.kit.ids import new_id

CALENDAR = BusinessCalendar()
OWN = company()
IDS = Ids(*({key: str(new_id()) for key in keys} for keys in (OWN.accounts, OWN.people, OWN.teams, OWN.products)))


def told(story: Story, today: date = date(2026, 3, 31)) -> list[Step]:
    return tell(story, OWN, notes(), IDS, CALENDAR, today)


def test_everything_that_is_named_exists() -> None:
    people, teams = set(OWN.people), set(OWN.teams)
    for key, team in OWN.teams.items():
        assert {team.manager, *team.members} <= people
        assert team.under is None or list(OWN.teams).index(team.under) < list(OWN.teams).index(key)
    for key, account in OWN.accounts.items():
        assert account.under is None or list(OWN.accounts).index(account.under) < list(OWN.accounts).index(key)
    assert all({move.leaves, move.joins} <= teams for move in OWN.moves)
    for story in stories():
        assert story.account in OWN.accounts
        assert story.owner in people
        assert set(story.lines) <= set(OWN.products)


def test_there_are_notes_for_all_that_the_process_asks_for() -> None:
    asked = {required.code for stage in STAGES for required in (*stage.milestones, *stage.criteria)}
    assert set(notes()) == asked
    assert all(set(languages) == {"zh", "en"} for languages in notes().values())


@pytest.mark.parametrize("today", [date(2026, 3, 31) + timedelta(days=n) for n in range(7)])
def test_steps_follow_each_other_and_end_before_today(today: date) -> None:
    for story in stories():
        moments = [step.at for step in told(story, today)]
        assert moments == sorted(set(moments)), story.key
        assert moments[-1] < CALENDAR.start_of_day(today), story.key
        assert moments[0] < CALENDAR.start_of_day(today - timedelta(days=story.began - 1)), story.key


def test_a_story_is_told_the_same_way_every_time() -> None:
    assert [told(story) for story in stories()] == [told(story) for story in stories()]


def test_nobody_acts_before_they_joined_a_team_or_after_they_left() -> None:
    left = {leaver.person: leaver.days_ago for leaver in OWN.leavers}
    today = date(2026, 3, 31)
    for story in stories():
        for step in told(story, today):
            gone = left.get(step.actor)
            assert gone is None or step.at < CALENDAR.start_of_day(today - timedelta(days=gone - 1)), story.key


def test_a_story_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValidationError, match="begins 3 days ago"):
        Story(key="x", account="a", owner="b", name="n", began=3, last=3, close=1, lines={"robot": 1})
