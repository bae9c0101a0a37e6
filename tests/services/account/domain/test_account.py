"""Accounts in their tree (R7)."""

import pytest
from pydantic import ValidationError

from services.account.domain import account, external_ids
from services.account.domain.account import AccountDetails, AccountFlags, AccountInput, AccountName
from services.account.entities import ACCOUNT
from shared.contracts.account import (
    AccountDetailsChanged,
    AccountExternalIdLinked,
    AccountFlagged,
    AccountMoved,
    AccountRegistered,
    AccountRenamed,
    ExternalIdClaimed,
    ExternalIdReleased,
)
from shared.testing.given import Result, given

GROUP = AccountRegistered(name="华东电网", industry="power", attributes={"employees": "4821"})
CODE = "91330100799655058B"


def test_an_account_is_registered_under_its_parent() -> None:
    command = AccountInput(name=" 华东  电网 ", flags=("no_industry",))
    given(ACCOUNT.aggregate).when(lambda s: account.decide_register(s, command, ["parent", "group"])).then(
        [AccountRegistered(name="华东 电网", parent_id="parent"), AccountFlagged(flags=("no_industry",))]
    )


def test_it_is_registered_once() -> None:
    command = AccountInput(name="again")
    given(ACCOUNT.aggregate, [GROUP]).when(lambda s: account.decide_register(s, command)).refused("already_registered")


def test_a_rename_keeps_the_names_it_does_not_mention() -> None:
    named = AccountRegistered(name="A", names={"zh": "甲"})
    given(ACCOUNT.aggregate, [named]).when(lambda s: account.decide_rename(s, AccountName(name="B"))).then(
        AccountRenamed(name="B", names={"zh": "甲"})
    )


def test_the_same_name_is_nothing_to_do() -> None:
    given(ACCOUNT.aggregate, [GROUP]).when(lambda s: account.decide_rename(s, AccountName(name="华东电网"))).nothing()


def test_details_left_out_stay_and_null_takes_away() -> None:
    command = AccountDetails.model_validate({"industry": None, "unified_social_credit_code": CODE.lower()})
    given(ACCOUNT.aggregate, [GROUP]).when(lambda s: account.decide_details(s, command)).then(
        AccountDetailsChanged(unified_social_credit_code=CODE, attributes={"employees": "4821"})
    )


def test_the_same_details_are_nothing_to_do() -> None:
    command = AccountDetails(industry="power")
    given(ACCOUNT.aggregate, [GROUP]).when(lambda s: account.decide_details(s, command)).nothing()


def test_a_move_names_the_new_parent() -> None:
    given(ACCOUNT.aggregate, [GROUP]).when(lambda s: account.decide_move(s, "1", ["2", "3"])).then(
        AccountMoved(parent_id="2")
    )


def test_an_account_leaves_its_tree() -> None:
    facts = [GROUP, AccountMoved(parent_id="2")]
    given(ACCOUNT.aggregate, facts).when(lambda s: account.decide_move(s, "1", [])).then(AccountMoved())


def test_where_it_hangs_already_is_nothing_to_do() -> None:
    facts = [GROUP, AccountMoved(parent_id="2")]
    given(ACCOUNT.aggregate, facts).when(lambda s: account.decide_move(s, "1", ["2", "3"])).nothing()


@pytest.mark.parametrize("above", [["1"], ["2", "3", "1"]])
def test_nothing_is_above_itself(above: list[str]) -> None:
    given(ACCOUNT.aggregate, [GROUP]).when(lambda s: account.decide_move(s, "1", above)).refused("cycle")


def test_a_tree_has_a_bottom() -> None:
    chain = [str(level) for level in range(100, 200)]
    given(ACCOUNT.aggregate, [GROUP]).when(lambda s: account.decide_move(s, "1", chain)).refused("tree_too_deep")


def test_flags_are_replaced_and_taken_away() -> None:
    facts = [GROUP, AccountFlagged(flags=("a", "b"))]
    given(ACCOUNT.aggregate, facts).when(lambda s: account.decide_flags(s, AccountFlags(flags=()))).then(
        AccountFlagged(flags=())
    )
    given(ACCOUNT.aggregate, facts).when(lambda s: account.decide_flags(s, AccountFlags(flags=("b", "a")))).nothing()


@pytest.mark.parametrize("code", [CODE, "914403001922038216", "9144030071526726XG"])
def test_company_codes_in_use_are_accepted(code: str) -> None:
    assert AccountDetails(unified_social_credit_code=code).unified_social_credit_code == code


@pytest.mark.parametrize("code", ["91330100799655058A", "9133010079965505", "9133010079965505OB", ""])
def test_a_company_code_with_a_slip_is_refused(code: str) -> None:
    with pytest.raises(ValidationError, match="unified social credit code"):
        AccountDetails(unified_social_credit_code=code)


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "x" * 301])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        AccountInput(name=name)


# external ids


def test_an_external_id_is_claimed_released_and_claimed_by_another() -> None:
    claimed, released = ExternalIdClaimed(entity_id="1"), ExternalIdReleased(entity_id="1")
    claims = ACCOUNT.claims
    given(claims).when(lambda c: external_ids.decide_claim(c, "1", "it")).then(claimed)
    given(claims, [claimed]).when(lambda c: external_ids.decide_claim(c, "1", "it")).nothing()
    given(claims, [claimed]).when(lambda c: external_ids.decide_claim(c, "2", "it")).refused("external_id_taken")
    given(claims, [claimed]).when(lambda c: external_ids.decide_release(c, "1")).then(released)
    given(claims, [claimed]).when(lambda c: external_ids.decide_release(c, "2")).nothing()
    given(claims, [claimed, released]).when(lambda c: external_ids.decide_claim(c, "2", "it")).then(
        ExternalIdClaimed(entity_id="2")
    )


def test_one_id_per_system_unless_it_is_replaced() -> None:
    account = given(ACCOUNT.aggregate, [GROUP, AccountExternalIdLinked(system="crm", external_id="7")])

    def linking(system: str, external_id: str, *, replace: bool = False) -> Result:
        event = AccountExternalIdLinked(system=system, external_id=external_id)
        return account.when(
            lambda s: [event] if external_ids.link(s.external_ids, system, external_id, replace=replace) else []
        )

    linking("erp", "7").then(AccountExternalIdLinked(system="erp", external_id="7"))
    linking("crm", "7").nothing()
    linking("crm", "8").refused("other_external_id")
    linking("crm", "8", replace=True).then(AccountExternalIdLinked(system="crm", external_id="8"))
    linking("uscc", CODE).refused("reserved_system")
