"""What may be counted on: chosen, else by the funnel state; and what a manager judges beside, never over."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from services.opportunity.domain.forecast.category import Forecast, Judgement, category
from services.opportunity.domain.opportunity.decide import decide
from services.opportunity.domain.opportunity.outcome import Lose, Pause
from services.opportunity.domain.opportunity.terms import ChangeAmount
from shared.contracts.opportunity import ForecastCategorised, ForecastJudged, OpportunityWon
from shared.kit.money import Money
from shared.testing.given import START, Result, given
from tests.services.opportunity.deals import LATER, OPENED, SEEN, Deals, circumstances, story

CNY = Money(minor=500, currency="CNY")
COMMIT = ForecastCategorised(category="commit")
JUDGED = ForecastJudged(judged_by="tester", amount=CNY, note="They will haggle")


def said(*facts: Any, by: str = "manager", before: tuple[Any, ...] = ()) -> Any:
    def when(command: Forecast) -> Result:
        circumstance = replace(circumstances(command.occurred_at or LATER), roles=frozenset({by}))
        return given(Deals(), [*story(*before), *facts]).when(lambda state: decide(state, command, circumstance))

    return when


def test_a_category_is_chosen_and_given_back() -> None:
    said()(Forecast(category="commit")).then(COMMIT)
    said(COMMIT)(Forecast(category="commit")).nothing()
    said(COMMIT)(Forecast(category=None)).then(ForecastCategorised())
    said()(Forecast(category=None)).nothing()


def test_a_late_word_on_an_earlier_time_is_kept_and_changes_nothing_now() -> None:
    late = Forecast(category="omitted", occurred_at=START + timedelta(hours=3))
    facts = [(COMMIT, START + timedelta(days=5))]
    said(*facts)(late).then(ForecastCategorised(category="omitted"))
    state = given(Deals(), [*story(), *facts, (ForecastCategorised(category="omitted"), START)]).state
    assert state.forecast == "commit"


def test_closed_follows_from_winning_alone() -> None:
    said()(Forecast(category="closed")).refused("closed_by_winning")


def test_a_word_is_needed() -> None:
    said()(Forecast()).refused("nothing_said")
    said()(Forecast(judgement=Judgement())).refused("nothing_said")


def test_a_manager_judges_and_takes_it_back() -> None:
    judgement = Judgement(amount=CNY, note="They will haggle")
    said()(Forecast(judgement=judgement)).then(JUDGED)
    said(JUDGED)(Forecast(judgement=judgement)).nothing()
    said(JUDGED)(Forecast(judgement=None)).then(ForecastJudged(judged_by="tester"))
    said()(Forecast(judgement=None)).nothing()
    said()(Forecast(category="commit", judgement=judgement)).then([COMMIT, JUDGED])


@pytest.mark.parametrize("role", ["seller", "operations", "finance"])
def test_nobody_else_judges(role: str) -> None:
    said(by=role)(Forecast(judgement=Judgement(note="x"))).refused("role_missing")
    said(by=role)(Forecast(category="commit")).then(COMMIT)


def test_a_judgement_that_cannot_be_meant_is_refused() -> None:
    amount = ChangeAmount(amount=Money(minor=1, currency="USD"))
    said(before=(amount,))(Forecast(judgement=Judgement(amount=CNY))).refused("mixed_currencies")
    said()(Forecast(judgement=Judgement(amount=Money(minor=-1, currency="CNY")))).refused("negative_amount")
    said()(Forecast(judgement=Judgement(close_date=date(1200, 1, 1)))).refused("impossible_date")


def test_what_rests_may_be_judged_and_what_has_ended_may_not() -> None:
    said(before=(Pause(reason="budget"),))(Forecast(category="omitted")).then(ForecastCategorised(category="omitted"))
    said(before=(Lose(reason="price"),))(Forecast(category="omitted")).refused("already_lost")


def test_the_category_follows_the_funnel_state_until_somebody_chooses() -> None:
    open_ = given(Deals(), [OPENED]).state
    states = ("searching", "in_funnel", "best")
    assert [category(open_, state) for state in states] == ["pipeline", "best_case", "commit"]
    chosen = given(Deals(), [OPENED, ForecastCategorised(category="omitted")]).state
    assert category(chosen, "best") == "omitted"
    won = given(Deals(), [OPENED, ForecastCategorised(category="omitted"), OpportunityWon(evidence=SEEN)]).state
    assert category(won, "best") == "closed"
    assert category(given(Deals(), story(Lose(reason="price"))).state, "best") is None
