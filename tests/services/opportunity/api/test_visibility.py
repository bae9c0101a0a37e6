"""Whose opportunities one sees and changes: own, of one's teams, of all below teams that one leads."""

from typing import Any

import pytest

from tests.services.opportunity.api.house import House, done, got, refused

CHANGE = {"text": "Noted"}
ASSERTED = {"kind": "asserted_at_migration", "note": "It stood there in the former system"}


@pytest.mark.parametrize(
    ("subject", "roles", "own", "of_team", "of_none"),
    [
        ("ann", ("seller",), True, True, False),  # hers, and of her team
        ("bob", ("seller",), False, True, False),  # of his team only
        ("lin", ("manager",), True, True, False),  # leads the team
        ("mei", ("manager",), True, True, False),  # leads the team above
        ("olga", ("seller",), False, False, False),  # of another region
        ("wu", ("manager",), False, False, False),  # leads another region
        ("stranger", ("manager",), False, False, False),  # no person of ours
        ("boss", ("executive",), True, True, True),
    ],
)
async def test_reads_and_commands_reach_equally_far(
    house: House, subject: str, roles: tuple[str, ...], own: bool, of_team: bool, of_none: bool
) -> None:
    account = await house.account("Visible")
    async with house.client() as operations, house.client(subject, *roles) as client:
        mine = {"account_id": account}
        records = {
            await house.opened(operations, **mine, owner_id=house.ids["ann"]): own,
            await house.opened(operations, **mine, team_id=house.ids["shanghai"]): of_team,
            await house.opened(operations, **mine): of_none,
        }
        client.headers["Keyfold-Position"] = operations.headers["Keyfold-Position"]
        listed = await got(client, "/opportunities", account=account)
        counted = await got(client, "/funnel", account=account)
        for record, seen in records.items():
            page = await client.get(f"/opportunities/{record}")
            history = await client.get(f"/opportunities/{record}/history")
            command = await client.post(f"/opportunities/{record}/comments", json=CHANGE)
            if seen:
                assert (page.status_code, history.status_code, command.status_code) == (200, 200, 200)
            else:
                for response in (page, history, command):
                    await refused(response, 403, "not_yours")
    assert {row["id"] for row in listed["items"]} == {record for record, seen in records.items() if seen}
    assert listed["totals"]["count"] == counted["totals"]["count"] == sum(records.values())


async def test_nobody_opens_one_for_somebody_out_of_reach(house: House) -> None:
    async with house.client("ann", "seller") as ann, house.client("lin", "manager") as lin:
        for client, owner in ((ann, "olga"), (ann, "bob"), (lin, "olga")):
            body = {"name": "x", "owner_id": house.ids[owner]}
            await refused(await client.post("/opportunities", json=body), 403, "not_yours")
        await done(lin, "/opportunities", {"name": "x", "owner_id": house.ids["bob"]}, status=201)


async def test_a_stranger_opens_nothing(house: House) -> None:
    async with house.client("stranger", "seller") as client:
        await refused(await client.post("/opportunities", json={"name": "x"}), 403, "not_yours")


async def test_who_hands_it_over_sees_it_no_more(house: House) -> None:
    async with house.client("ann", "seller") as ann:
        opened = await house.opened(ann)
        await done(ann, f"/opportunities/{opened}/owner", {"owner_id": house.ids["olga"]})
        await refused(await ann.get(f"/opportunities/{opened}"), 403, "not_yours")
        await refused(await ann.get(f"/opportunities/{opened}?as_of=2017-03-02"), 403, "not_yours")


async def test_me_tells_who_i_am_and_how_far_i_see(house: House) -> None:
    async with house.client("lin", "manager") as client:
        me = await got(client, "/me")
    assert me["person"] == {"id": house.ids["lin"], "name": "lin"}
    assert me["sees"] == {"everything": False, "people": 3, "teams": 1}
    assert [role["role"] for role in me["roles"]] == ["manager"]
    async with house.client("stranger", "finance") as client:
        me = await got(client, "/me")
    assert (me["person"], me["sees"]["everything"]) == (None, True)


@pytest.mark.parametrize("roles", [("seller",), ("manager",), ("executive",), ("seller", "manager", "executive")])
@pytest.mark.parametrize(
    ("step", "body", "field"),
    [
        ("progress", {"completed_stage": 8, "note": "x"}, "completed_stage"),
        ("milestones", {"milestone": "priority_set", "evidence": ASSERTED}, "evidence.kind"),
        ("commitments", {"criterion": "meeting_agreed", "evidence": ASSERTED}, "evidence.kind"),
        ("buying-stage", {"stage": 3, "evidence": ASSERTED}, "evidence.kind"),
        ("win", {"evidence": ASSERTED}, "evidence.kind"),
        (
            "changes",
            {"changes": [{"action": "resume"}, {"action": "assert_progress", "completed_stage": 8, "note": "x"}]},
            "changes.1.completed_stage",
        ),
        ("changes", {"changes": [{"action": "win", "evidence": ASSERTED}]}, "changes.0.evidence.kind"),
    ],
)
async def test_who_sells_asserts_nothing(
    house: House, roles: tuple[str, ...], step: str, body: Any, field: str
) -> None:
    async with house.client() as operations, house.client("ann", *roles) as ann:
        opened = await house.opened(operations, owner_id=house.ids["ann"])
        before = await house.service.backend.store.head()
        problem = await refused(await ann.post(f"/opportunities/{opened}/{step}", json=body), 403, "migration_only")
        assert [fault["field"] for fault in problem["errors"]] == [field]
        assert await house.service.backend.store.head() == before


@pytest.mark.parametrize("role", ["integration", "operations"])
async def test_who_brings_deals_in_asserts_where_they_stand(house: House, role: str) -> None:
    async with house.client("mover", role) as client:
        opened = await house.opened(client)
        path = f"/opportunities/{opened}"
        await done(client, f"{path}/milestones", {"milestone": "priority_set", "evidence": ASSERTED})
        await done(client, f"{path}/progress", {"completed_stage": 8, "note": "x"})
        await done(client, f"{path}/changes", {"changes": [{"action": "win", "evidence": ASSERTED}]})
        assert (await got(client, path))["outcome"]["code"] == "won"
