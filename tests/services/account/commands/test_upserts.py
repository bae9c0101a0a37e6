"""What is known to another system is addressed by its id there: made once, changed only where it differs."""

import asyncio
from datetime import timedelta

import pytest

from services.account.commands import (
    change_person,
    join_person,
    leave_person,
    move_account,
    register_account,
    upsert_account,
    upsert_person,
    upsert_product,
    upsert_team,
)
from services.account.domain.account import AccountInput, AccountParent
from services.account.domain.person import Departure, PersonChange, PersonInput
from services.account.domain.product import ProductInput
from services.account.domain.team import TeamInput
from services.account.domain.values import LinkExternalId, Reference
from services.account.entities import ACCOUNT, PERSON, PRODUCT, TEAM
from services.account.identities import link_external_id
from shared.contracts.account import (
    AccountDetailsChanged,
    AccountExternalIdLinked,
    AccountMoved,
    AccountRegistered,
    ManagerAppointed,
    PersonChanged,
    ProductChanged,
    TeamMemberJoined,
    TeamMemberLeft,
)
from shared.contracts.refusal import RefusedError
from shared.kit.money import Money
from tests.services.account.conftest import NOW, Office

CODE, OTHER_CODE = "91330100799655058B", "914403001922038216"


def crm(external_id: str) -> Reference:
    return Reference(system="crm", external_id=external_id)


async def refused(office: Office, act: object, code: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        await office.run(act)  # type: ignore[arg-type]
    assert [reason.code for reason in refusal.value.reasons] == [code]


async def test_an_account_is_made_once_and_changed_where_it_differs(office: Office) -> None:
    acme = AccountInput(name="Acme", industry="technology")
    account_id = await office.do(lambda work: upsert_account(work, "crm", "Acme", acme))
    again = await office.run(lambda work: upsert_account(work, "crm", "Acme", acme))
    assert (again.answer["id"], again.events) == (account_id, ())
    assert next(iter(again.versions)) == f"account-{account_id}"
    changed = AccountInput(name="Acme", industry="medical")
    await office.do(lambda work: upsert_account(work, "crm", "Acme", changed))
    await office.do(lambda work: upsert_account(work, "crm", "Acme", AccountInput(name="Acme")))
    assert await office.events(ACCOUNT, account_id) == [
        AccountRegistered(name="Acme", industry="technology"),
        AccountExternalIdLinked(system="crm", external_id="Acme"),
        AccountDetailsChanged(industry="medical"),
    ]


async def test_eight_upserts_at_once_make_one_account(office: Office) -> None:
    acts = [office.do(lambda work: upsert_account(work, "crm", "Acme", AccountInput(name="Acme"))) for _ in range(8)]
    assert len(set(await asyncio.gather(*acts))) == 1


async def test_a_parent_is_named_by_id_or_by_external_id(office: Office) -> None:
    group = await office.do(lambda work: upsert_account(work, "crm", "Group", AccountInput(name="Group")))
    by_external_id = AccountInput(name="Branch", parent=crm("Group"))
    branch = await office.do(lambda work: upsert_account(work, "crm", "Branch", by_external_id))
    by_id = AccountInput.model_validate({"name": "Branch", "parent": {"id": group}})
    assert not (await office.run(lambda work: upsert_account(work, "crm", "Branch", by_id))).events
    top = AccountInput(name="Branch", parent=None)
    await office.do(lambda work: upsert_account(work, "crm", "Branch", top))
    assert (await office.events(ACCOUNT, branch))[-1] == AccountMoved()
    nowhere = AccountInput(name="x", parent=crm("Nobody"))
    await refused(office, lambda work: register_account(work, nowhere), "unknown_account")


async def test_two_moves_at_once_cannot_close_a_circle(office: Office) -> None:
    for _ in range(5):
        a = await office.do(lambda work: register_account(work, AccountInput(name="A")))
        b = await office.do(lambda work: register_account(work, AccountInput(name="B")))

        def under(child: str, parent: str) -> object:
            command = AccountParent.model_validate({"parent": {"id": parent}})
            return office.run(lambda work: move_account(work, child, command))

        results = await asyncio.gather(under(a, b), under(b, a), return_exceptions=True)  # type: ignore[call-overload]
        refusals = [result for result in results if isinstance(result, RefusedError)]
        assert [refusal.reasons[0].code for refusal in refusals] == ["cycle"]


async def test_a_company_code_is_one_accounts_only_until_it_is_given_up(office: Office) -> None:
    one = AccountInput(name="One", unified_social_credit_code=CODE)
    await office.do(lambda work: upsert_account(work, "crm", "1", one))
    two = AccountInput(name="Two", unified_social_credit_code=CODE)
    await refused(office, lambda work: upsert_account(work, "crm", "2", two), "external_id_taken")
    other = AccountInput(name="One", unified_social_credit_code=OTHER_CODE)
    await office.do(lambda work: upsert_account(work, "crm", "1", other))
    assert await office.do(lambda work: upsert_account(work, "crm", "2", two))


async def test_a_login_is_one_persons_only(office: Office) -> None:
    wang = await office.do(lambda work: join_person(work, PersonInput(name="王芳", subject="wang")))
    li = await office.do(lambda work: upsert_person(work, "crm", "li", PersonInput(name="李强")))
    await refused(office, lambda work: change_person(work, li, PersonChange(subject="wang")), "external_id_taken")
    await office.do(lambda work: change_person(work, wang, PersonChange(subject=None)))
    await office.do(lambda work: upsert_person(work, "crm", "li", PersonInput(name="李强", subject="wang")))
    assert (await office.events(PERSON, li))[-1] == PersonChanged(name="李强", subject="wang")


async def test_an_external_id_moves_on_only_when_it_is_replaced(office: Office) -> None:
    one = await office.do(lambda work: upsert_account(work, "crm", "1", AccountInput(name="One")))
    command = LinkExternalId(system="crm", external_id="2", replace=True)

    async def relink(entity_id: str) -> None:
        async def act(work: object) -> str:
            await link_external_id(work, ACCOUNT, entity_id, command)  # type: ignore[arg-type]
            return entity_id

        await office.do(act)

    await relink(one)
    other = await office.do(lambda work: upsert_account(work, "crm", "1", AccountInput(name="Another")))
    assert other != one
    assert await office.do(lambda work: upsert_account(work, "crm", "2", AccountInput(name="One"))) == one
    with pytest.raises(RefusedError, match="belongs to"):
        await relink(other)


async def test_a_team_has_the_manager_and_members_it_is_given(office: Office) -> None:
    people = {name: await office.do(_person(name)) for name in ("manager", "a", "b", "c")}
    team = TeamInput(name="East", manager=crm("manager"), members=(crm("a"), crm("b")))
    team_id = await office.do(lambda work: upsert_team(work, "crm", "East", team), at=NOW - timedelta(days=9))
    assert not (await office.run(lambda work: upsert_team(work, "crm", "East", team))).events
    renamed = TeamInput(name="华东区", members=(crm("b"), crm("c")))
    await office.do(lambda work: upsert_team(work, "crm", "East", renamed))
    events = await office.events(TEAM, team_id)
    assert ManagerAppointed(person_id=people["manager"]) in events
    assert events[-2:] == [TeamMemberLeft(person_id=people["a"]), TeamMemberJoined(person_id=people["c"])]


async def test_who_has_left_cannot_be_put_into_a_team(office: Office) -> None:
    person_id = await office.do(_person("gone"))
    await office.do(lambda work: leave_person(work, person_id, Departure()), at=NOW - timedelta(days=1))
    team = TeamInput(name="East", members=(crm("gone"),))
    await refused(office, lambda work: upsert_team(work, "crm", "East", team), "person_has_left")
    assert await office.do(lambda work: upsert_team(work, "crm", "East", team), at=NOW - timedelta(days=2))


async def test_a_products_new_price_is_all_that_changes(office: Office) -> None:
    price, dearer = Money(minor=550_00, currency="USD"), Money(minor=600_00, currency="USD")
    first = ProductInput(name="GTX Basic", series="GTX", list_price=price)
    product_id = await office.do(lambda work: upsert_product(work, "crm", "GTX Basic", first))
    assert not (await office.run(lambda work: upsert_product(work, "crm", "GTX Basic", first))).events
    second = ProductInput(name="GTX Basic", series="GTX", list_price=dearer)
    await office.do(lambda work: upsert_product(work, "crm", "GTX Basic", second))
    changed = ProductChanged(name="GTX Basic", series="GTX", list_price=dearer)
    assert (await office.events(PRODUCT, product_id))[2:] == [changed]


def _person(name: str):  # type: ignore[no-untyped-def]
    return lambda work: upsert_person(work, "crm", name, PersonInput(name=name))
