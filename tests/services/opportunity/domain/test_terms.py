"""What an opportunity is about and whose it is: opening it, and changing what was said."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from services.opportunity.domain.opportunity.opening import OpenOpportunity, decide_open
from services.opportunity.domain.opportunity.terms import (
    AgreeLineItems,
    AssignAccount,
    AssignOwner,
    AssignTeam,
    ChangeAmount,
    ChangeCloseDate,
    Comment,
    Flag,
    Rename,
)
from shared.contracts.opportunity import (
    AccountAssigned,
    AmountEstimated,
    AmountRaised,
    AmountReduced,
    CloseDatePulledIn,
    CloseDatePushedOut,
    CloseDateSet,
    Commented,
    LineItem,
    LineItemsAgreed,
    OpportunityFlagged,
    OpportunityOpened,
    OpportunityRenamed,
    OwnerAssigned,
    TeamAssigned,
)
from shared.kit.money import Money
from shared.testing.given import START, given
from tests.services.opportunity.deals import ACCOUNT, OPENED, OTHER, OWNER, PRODUCT, SHORT, TEAM, Deals, on, state_after


def cny(minor: int) -> Money:
    return Money(minor=minor, currency="CNY")


USD = Money(minor=100, currency="USD")
JUNE, JULY = date(2017, 6, 30), date(2017, 7, 31)
EARLY = START + timedelta(minutes=1)


def opening(**fields: Any) -> Any:
    command = OpenOpportunity(name="Line 3", process="short", **fields)
    return given(Deals()).when(lambda state: decide_open(state, command, SHORT))


def test_a_name_is_enough_to_open() -> None:
    opening().then(OPENED)


def test_what_is_known_at_the_opening_is_kept_under_the_version_of_the_process() -> None:
    known: dict[str, Any] = {
        "account_id": ACCOUNT,
        "owner_id": OWNER,
        "team_id": TEAM,
        "amount": cny(5),
        "close_date": JUNE,
    }
    opening(**known, external_ids={"crm": "1"}, origin="import:crm").then(
        OpportunityOpened(name="Line 3", process="short", process_version=1, origin="import:crm", **known)
    )


def test_an_opportunity_is_opened_once() -> None:
    on()(AssignOwner(owner_id=OWNER)).then(OwnerAssigned(owner_id=OWNER))
    twice = given(Deals(), [OPENED]).when(lambda state: decide_open(state, OpenOpportunity(name="Line 3"), SHORT))
    twice.refused("already_open")


def test_nothing_is_decided_about_an_opportunity_that_does_not_exist() -> None:
    on(opened=OpportunityRenamed(name="?"))(Rename(name="x")).refused("not_found")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("amount", cny(-1), "negative_amount"),
        ("close_date", date(1969, 12, 31), "impossible_date"),
        ("close_date", date(2200, 1, 1), "impossible_date"),
        ("occurred_at", datetime(1969, 12, 31, tzinfo=UTC), "impossible_date"),
        ("line_items", (LineItem(product_id=PRODUCT, unit_price=cny(-1)),), "negative_amount"),
    ],
)
def test_an_opening_with_impossible_values_is_refused(field: str, value: Any, code: str) -> None:
    opening(**{field: value}).refused(code)


@pytest.mark.parametrize("name", ["", "   ", "a\x00b", "x" * 301])
def test_a_name_is_a_text(name: str) -> None:
    with pytest.raises(ValidationError):
        OpenOpportunity(name=name)


@pytest.mark.parametrize("currency", ["XXQ", "cny", "", "RMB¥"])
def test_an_unknown_currency_is_refused_by_the_type(currency: str) -> None:
    with pytest.raises(ValidationError):
        ChangeAmount.model_validate({"amount": {"minor": 1, "currency": currency}})


@pytest.mark.parametrize("minor", [1.5, "12", None, True, 10**16])
def test_money_is_whole_minor_units(minor: object) -> None:
    with pytest.raises(ValidationError):
        ChangeAmount.model_validate({"amount": {"minor": minor, "currency": "CNY"}})


def test_an_amount_is_estimated_raised_reduced() -> None:
    on()(ChangeAmount(amount=cny(5))).then(AmountEstimated(amount=cny(5)))
    on(ChangeAmount(amount=cny(5)))(ChangeAmount(amount=cny(7))).then(AmountRaised(amount=cny(7), former=cny(5)))
    on(ChangeAmount(amount=cny(5)))(ChangeAmount(amount=cny(0))).then(AmountReduced(amount=cny(0), former=cny(5)))
    on(ChangeAmount(amount=cny(5)))(ChangeAmount(amount=cny(5))).nothing()


def test_another_currency_is_neither_more_nor_less() -> None:
    on(ChangeAmount(amount=cny(5)))(ChangeAmount(amount=USD)).then(AmountEstimated(amount=USD, former=cny(5)))


def test_a_negative_amount_is_refused() -> None:
    on()(ChangeAmount(amount=cny(-1))).refused("negative_amount")


def test_a_close_date_is_set_pushed_out_pulled_in() -> None:
    on()(ChangeCloseDate(close_date=JUNE)).then(CloseDateSet(close_date=JUNE))
    on(ChangeCloseDate(close_date=JUNE))(ChangeCloseDate(close_date=JULY)).then(
        CloseDatePushedOut(close_date=JULY, former=JUNE)
    )
    on(ChangeCloseDate(close_date=JULY))(ChangeCloseDate(close_date=JUNE)).then(
        CloseDatePulledIn(close_date=JUNE, former=JULY)
    )
    on(ChangeCloseDate(close_date=JUNE))(ChangeCloseDate(close_date=JUNE)).nothing()


def test_an_impossible_close_date_is_refused() -> None:
    on()(ChangeCloseDate(close_date=date(9999, 1, 1))).refused("impossible_date")


def test_lines_are_agreed_in_one_currency() -> None:
    line = LineItem(product_id=PRODUCT, quantity=2, unit_price=cny(3))
    on()(AgreeLineItems(line_items=(line,))).then(LineItemsAgreed(line_items=(line,)))
    on(AgreeLineItems(line_items=(line,)))(AgreeLineItems(line_items=(line,))).nothing()
    mixed = (line, LineItem(product_id=PRODUCT, unit_price=USD))
    on()(AgreeLineItems(line_items=mixed)).refused("mixed_currencies")
    on()(AgreeLineItems(line_items=(LineItem(product_id=PRODUCT, unit_price=cny(-3)),))).refused("negative_amount")


def test_owner_and_team_change_hands() -> None:
    on(AssignOwner(owner_id=OWNER))(AssignOwner(owner_id=OTHER)).then(OwnerAssigned(owner_id=OTHER, former_id=OWNER))
    on(AssignOwner(owner_id=OWNER))(AssignOwner(owner_id=None)).then(OwnerAssigned(former_id=OWNER))
    on(AssignOwner(owner_id=OWNER))(AssignOwner(owner_id=OWNER)).nothing()
    on()(AssignTeam(team_id=TEAM)).then(TeamAssigned(team_id=TEAM))
    on(AssignTeam(team_id=TEAM))(AssignTeam(team_id=TEAM)).nothing()


def test_account_name_and_doubts_are_set_and_taken_back() -> None:
    on()(AssignAccount(account_id=ACCOUNT)).then(AccountAssigned(account_id=ACCOUNT))
    on()(AssignAccount(account_id=None)).nothing()
    on()(Rename(name="灌装三线")).then(OpportunityRenamed(name="灌装三线"))
    on()(Rename(name="Line 3")).nothing()
    on()(Flag(flags=("no_account",))).then(OpportunityFlagged(flags=("no_account",)))
    on(Flag(flags=("no_account", "dated")))(Flag(flags=("dated", "no_account"))).nothing()
    on(Flag(flags=("no_account",)))(Flag(flags=())).then(OpportunityFlagged(flags=()))


def test_a_comment_is_always_something_new() -> None:
    on(Comment(text="hm"))(Comment(text="hm")).then(Commented(text="hm"))


@pytest.mark.parametrize(
    ("newer", "older", "event"),
    [
        (ChangeAmount(amount=cny(5)), ChangeAmount(amount=cny(3)), AmountEstimated(amount=cny(3))),
        (ChangeAmount(amount=cny(5)), ChangeAmount(amount=cny(5)), AmountEstimated(amount=cny(5))),
        (ChangeCloseDate(close_date=JULY), ChangeCloseDate(close_date=JUNE), CloseDateSet(close_date=JUNE)),
        (AssignOwner(owner_id=OTHER), AssignOwner(owner_id=OWNER), OwnerAssigned(owner_id=OWNER)),
        (AssignTeam(team_id=TEAM), AssignTeam(team_id=TEAM), TeamAssigned(team_id=TEAM)),
        (Rename(name="new"), Rename(name="old"), OpportunityRenamed(name="old")),
        (Flag(flags=("a",)), Flag(flags=()), OpportunityFlagged(flags=())),
        (AgreeLineItems(line_items=(LineItem(product_id=PRODUCT),)), AgreeLineItems(line_items=()), None),
    ],
)
def test_a_late_word_on_an_earlier_time_is_taken_and_changes_nothing_that_is_so_now(
    newer: Any, older: Any, event: Any
) -> None:
    late = older.model_copy(update={"occurred_at": EARLY})
    on(newer)(late).then(event or LineItemsAgreed(line_items=()))
    before, after = state_after(newer), state_after(newer, late)
    assert after == before


def test_a_word_before_the_opening_is_refused() -> None:
    on()(Rename(name="x", occurred_at=START - timedelta(days=1))).refused("before_opening")
