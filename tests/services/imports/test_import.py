"""An import into real stores: what is made, what a second run does, what a changed row changes."""

import asyncio
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

import pytest

from services.account.commands import leave_person
from services.account.domain.person import Departure
from services.imports.mapping import Mapping, load_mapping
from services.opportunity.domain.opportunity.state import INITIAL, evolve
from shared.contracts import account
from shared.contracts.opportunity import (
    AmountEstimated,
    AmountRaised,
    BuyingStageObserved,
    CloseDatePulledIn,
    CloseDateSet,
    CommitmentGiven,
    ExternalIdLinked,
    OpportunityFlagged,
    OpportunityLost,
    OpportunityOpened,
    OpportunityReopened,
    OpportunityWon,
    OwnerAssigned,
    StageCompleted,
    StageEntered,
    StageRegressed,
    TeamAssigned,
)
from shared.eventstore.commands import CommandContext, Commands, Work
from shared.kit.clock import FixedClock
from shared.kit.ids import new_id
from shared.kit.money import Money
from tests.services.imports.conftest import NOW, Desk, Folder, shanghai

LATER = NOW + timedelta(days=7)
WON_PARTS = [StageEntered, CommitmentGiven, StageCompleted, BuyingStageObserved]


class Stopped(Exception):
    pass


def kinds(facts: list[Any]) -> list[type[Any]]:
    return [type(fact.event) for fact in facts]


def usd(amount: int) -> Money:
    return Money(minor=amount * 100, currency="USD")


async def changes(desk: Desk, folder: Folder, external_id: str, *, now: datetime = LATER) -> list[Any]:
    """What a further import adds to an opportunity; and nothing to any other stream, nor a second time. In the order of business
    time, in which a timeline folds it, it comes to the same."""
    before = len(await desk.facts(external_id))
    result = await desk.load(folder, now=now)
    facts = await desk.facts(external_id)
    added = facts[before:]
    in_business_time = sorted(facts, key=lambda fact: (fact.occurred_at, fact.version))
    assert reduce(evolve, in_business_time, INITIAL) == reduce(evolve, facts, INITIAL)
    assert result.events == len(added)
    assert (await desk.load(folder, now=now)).events == 0
    return added


async def test_rows_become_facts_with_their_business_dates(desk: Desk, folder: Folder) -> None:
    result = await desk.load(folder)
    assert dict(result.counts["sales_pipeline.csv"]) == {"read": 4, "taken": 4, "created": 4, "rejected": 0}
    assert (result.won, result.won_minor, result.events) == (1, 1054_00, sum(await desk.heads()))
    assert (result.last["account"], result.last["opportunity"]) == await desk.heads()
    won = await desk.facts("W1")
    assert kinds(won) == [OpportunityOpened, ExternalIdLinked, *WON_PARTS, *WON_PARTS[:3], OpportunityWon]
    assert {fact.occurred_at for fact in won[:6]} == {shanghai(2026, 1, 5)}
    assert {fact.occurred_at for fact in won[6:]} == {shanghai(2026, 2, 10)}
    assert won[-1].event.amount == usd(1054)
    assert won[-1].event.evidence.kind == "asserted_at_migration"
    lost = await desk.facts("L1")
    assert OpportunityFlagged(flags=("product_spelling",)) in [fact.event for fact in lost]
    assert (lost[-1].event, lost[-1].occurred_at) == (
        OpportunityLost(reason="not stated in the export"),
        shanghai(2026, 3, 1),
    )
    assert (await desk.state("E1")).completed_stage == 1
    assert (await desk.state("E1")).flags == ("no_account",)
    assert {fact.occurred_at for fact in await desk.facts("P1")} == {NOW}


async def test_accounts_people_and_teams_are_made_with_it(desk: Desk, folder: Folder) -> None:
    result = await desk.load(folder)
    assert [result.counts[file]["created"] for file in ("accounts.csv", "products.csv", "sales_teams.csv")] == [2, 2, 3]
    facts = await desk.account_facts()
    registered = {f.event.name: f for f in facts if isinstance(f.event, account.AccountRegistered)}
    child, parent = registered["Nordlicht Nord"], registered["Nordlicht"]
    assert (child.event.parent_id, child.occurred_at) == (parent.entity_id, NOW)
    teams = {f.event.name: f for f in facts if isinstance(f.event, account.TeamFormed)}
    assert teams["Mona Falk"].event.parent_team_id == teams["North"].entity_id
    assert {f.occurred_at for f in facts if isinstance(f.event, account.TeamMemberJoined)} == {shanghai(2026, 1, 5)}
    state = await desk.state("L1")
    assert (state.account_id, state.team_id) == (child.entity_id, teams["Mona Falk"].entity_id)


async def test_a_second_run_changes_nothing(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    heads = await desk.heads()
    again = await desk.load(folder, now=LATER)
    assert (again.events, await desk.heads()) == (0, heads)
    assert {file: counts["unchanged"] for file, counts in again.counts.items()} == {
        "accounts.csv": 2,
        "products.csv": 2,
        "sales_teams.csv": 3,
        "sales_pipeline.csv": 4,
    }


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_dry_run_writes_nothing_and_foresees_the_same(desk: Desk, folder: Folder, fresh: bool) -> None:
    if not fresh:
        await desk.load(folder)
        folder.edit("accounts.csv", "800", "900")
        folder.edit("accounts.csv", "Nordlicht Nord,", "Sydlicht,")
        folder.edit("sales_teams.csv", "Ole Dahl,Mona Falk", "Ole Dahl,陈静")
        folder.edit("sales_pipeline.csv", "Engaging,2/1/2026,,", "Won,2/1/2026,3/1/2026,70")
    heads = await desk.heads()
    foreseen = await desk.load(folder, now=LATER, dry_run=True)
    assert await desk.heads() == heads
    real = await desk.load(folder, now=LATER)
    assert (foreseen.counts, foreseen.events, foreseen.won_minor) == (real.counts, real.events, real.won_minor)
    assert real.events == sum(await desk.heads()) - sum(heads) > 0


async def test_taken_and_rejected_add_up_to_what_was_read(desk: Desk, folder: Folder) -> None:
    folder.deals("A,,,,Engaging,1/5/2026,,", "A,,,,Engaging,1/5/2026,,", "B,,,,Melted,1/5/2026,,", "C,,")
    done: list[tuple[int, int]] = []
    result = await desk.load(folder, progress=lambda now, total: done.append((now, total)))
    assert [(c["read"], c["taken"] + c["rejected"]) for c in result.counts.values()] == [(2, 2), (2, 2), (3, 3), (4, 4)]
    assert [(f.line, f.code) for f in result.rejections] == [
        (3, "duplicate_id"),
        (4, "unknown_stage"),
        (5, "malformed_line"),
    ]
    assert done[-1] == (11, 11)
    assert done == sorted(done)


async def test_a_run_that_was_stopped_is_resumed_by_running_it_again(desk: Desk, folder: Folder) -> None:
    folder.deals(*(f"X{n},Ada Berg,Pump One,Nordlicht,Won,1/5/2026,2/10/2026,{n}" for n in range(1, 1101)))

    def stop(done: int, _: int) -> None:
        if done > 500:
            raise Stopped

    with pytest.raises(Stopped):
        await desk.load(folder, progress=stop)
    assert (await desk.heads())[1] > 0
    resumed = await desk.load(folder)
    assert dict(resumed.counts["sales_pipeline.csv"]) == {
        "read": 1100,
        "taken": 1100,
        "unchanged": 500,
        "created": 600,
        "rejected": 0,
    }
    assert (await desk.heads())[1] == 1 + 1100 * 11  # the process, and of each row its claim and ten facts
    assert (await desk.load(folder)).events == 0


async def test_two_runs_at_once_make_everything_once(desk: Desk, folder: Folder) -> None:
    await asyncio.gather(desk.load(folder), desk.load(folder))
    heads = await desk.heads()
    assert (await desk.load(folder)).events == 0
    assert kinds(await desk.facts("W1")).count(OpportunityOpened) == 1
    assert await desk.heads() == heads


async def test_a_row_that_moved_on_is_moved_on(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    folder.edit("sales_pipeline.csv", "Engaging,2/1/2026,,", "Won,2/1/2026,4/2/2026,70")
    added = await changes(desk, folder, "E1")
    assert kinds(added) == [CloseDateSet, *WON_PARTS[:3], OpportunityWon]
    assert {fact.occurred_at for fact in added} == {shanghai(2026, 4, 2)}


async def test_an_undated_row_that_gets_a_date_moves_on_then(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    folder.edit("sales_pipeline.csv", "Prospecting,,,", "Engaging,4/1/2026,,")
    added = await changes(desk, folder, "P1")
    assert kinds(added) == [OpportunityFlagged, *WON_PARTS]
    assert [fact.occurred_at for fact in added] == [LATER, *[shanghai(2026, 4, 1)] * 4]


async def test_a_date_before_all_that_is_on_record_does_not_come_before_it(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    folder.edit("sales_pipeline.csv", "Prospecting,,,", "Won,1/9/2026,3/2/2026,5")
    added = await changes(desk, folder, "P1")
    assert {fact.occurred_at for fact in added} == {NOW}
    assert (await desk.state("P1")).outcome == "won"


async def test_an_undated_row_that_has_ended_counts_from_its_end(desk: Desk, folder: Folder) -> None:
    folder.deals("U,Ada Berg,Pump One,Nordlicht,Won,,2/10/2026,1054")
    await desk.load(folder)
    facts = await desk.facts("U")
    assert {fact.occurred_at for fact in facts} == {shanghai(2026, 2, 10)}
    assert facts[-1].event == OpportunityWon(amount=usd(1054), evidence=facts[-1].event.evidence)


async def test_a_new_amount_of_an_open_row_is_all_that_changes(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    folder.edit("sales_pipeline.csv", "Engaging,2/1/2026,,", "Engaging,2/1/2026,,99")
    added = await changes(desk, folder, "E1")
    assert [(fact.event, fact.occurred_at) for fact in added] == [(AmountEstimated(amount=usd(99)), LATER)]
    folder.edit("sales_pipeline.csv", "Engaging,2/1/2026,,99", "Engaging,2/1/2026,,120")
    (raised,) = await changes(desk, folder, "E1", now=LATER + timedelta(days=1))
    assert raised.event == AmountRaised(amount=usd(120), former=usd(99))


async def test_an_end_dated_before_the_last_import_is_taken_with_all_its_changes(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    folder.edit("sales_pipeline.csv", "Engaging,2/1/2026,,", "Engaging,2/1/2026,4/30/2026,99")
    await changes(desk, folder, "E1")
    folder.edit("sales_pipeline.csv", "Engaging,2/1/2026,4/30/2026,99", "Won,2/1/2026,4/2/2026,70")
    added = await changes(desk, folder, "E1", now=LATER + timedelta(days=1))
    assert kinds(added) == [CloseDatePulledIn, *WON_PARTS[:3], OpportunityWon]
    state = await desk.state("E1")
    assert (state.outcome, state.amount) == ("won", usd(70))


async def test_another_amount_of_a_won_row_corrects_the_win_where_it_stands(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    folder.edit("sales_pipeline.csv", "1054", "1055")
    added = await changes(desk, folder, "W1")
    assert kinds(added) == [OpportunityReopened, StageRegressed, *WON_PARTS[:3], OpportunityWon]
    assert {fact.occurred_at for fact in added} == {shanghai(2026, 2, 10)}
    state = await desk.state("W1")
    assert (state.outcome, state.amount) == ("won", usd(1055))
    assert await changes(desk, folder, "W1") == []


async def test_an_owner_handed_over_after_the_end_leaves_it_ended(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    folder.edit("sales_pipeline.csv", "W1,Ada Berg", "W1,Li Wei")
    added = await changes(desk, folder, "W1")
    assert {fact.event.type_name for fact in added} == {OwnerAssigned.type_name, TeamAssigned.type_name}
    assert {fact.occurred_at for fact in added} == {LATER}


async def test_a_win_that_was_a_loss_goes_back(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    folder.edit("sales_pipeline.csv", "Won,1/5/2026,2/10/2026,1054", "Lost,1/5/2026,2/20/2026,0")
    added = await changes(desk, folder, "W1")
    assert kinds(added)[0] is OpportunityReopened
    assert StageRegressed in kinds(added)
    assert kinds(added)[-1] is OpportunityLost
    assert {fact.occurred_at for fact in added} == {shanghai(2026, 2, 20)}
    assert (await desk.state("W1")).completed_stage == 1


async def test_a_row_that_lives_again_is_reopened(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    folder.edit("sales_pipeline.csv", "Lost,1/7/2026,3/1/2026,0", "Engaging,1/7/2026,,40")
    added = await changes(desk, folder, "L1")
    assert kinds(added) == [OpportunityReopened, AmountEstimated]
    assert {fact.occurred_at for fact in added} == {LATER}
    assert (await desk.state("L1")).outcome == "open"


async def test_a_changed_account_changes_only_what_changed(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    head = (await desk.heads())[0]
    folder.edit("accounts.csv", "10.5,800,Norway", "10.5,900,Norway")
    folder.edit("accounts.csv", "80,Norway,Nordlicht", "80,Norway,")
    folder.edit("products.csv", "550", "560")
    result = await desk.load(folder, now=LATER)
    assert [result.counts[file]["changed"] for file in ("accounts.csv", "products.csv")] == [2, 1]
    added = [fact.event for fact in await desk.account_facts(head)]
    assert {type(event) for event in added} == {
        account.AccountDetailsChanged,
        account.AccountMoved,
        account.ProductChanged,
    }
    assert len(added) == result.events == 3


async def test_parent_and_child_may_change_places(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    folder.edit("accounts.csv", "80,Norway,Nordlicht", "80,Norway,")
    folder.edit("accounts.csv", "800,Norway,", "800,Norway,Nordlicht Nord")
    result = await desk.load(folder, now=LATER)
    assert (result.events, result.rejections) == (2, [])


async def test_a_seller_who_changes_teams_does_so_now(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    head = (await desk.heads())[0]
    folder.edit("sales_teams.csv", "Ole Dahl,Mona Falk,North", "Ole Dahl,陈静,华东")
    await desk.load(folder, now=LATER)
    added = await desk.account_facts(head)
    assert {type(fact.event) for fact in added} == {account.TeamMemberLeft, account.TeamMemberJoined}
    assert {fact.occurred_at for fact in added} == {LATER}


def with_process(**changed: Any) -> Mapping:
    """The default mapping with other stages, values or another key."""
    fields = load_mapping().model_dump()
    return Mapping.model_validate(fields | {"process": fields["process"] | changed})


TRIAL = {"code": "trial", "names": {"en": "Trial"}, "probability": 50, "buying": "trying", "funnel_state": "in_funnel"}


async def test_a_mapping_with_a_new_stage_moves_old_opportunities_by_their_own_version(
    desk: Desk, folder: Folder
) -> None:
    await desk.load(folder)
    stages = load_mapping().model_dump()["process"]["stages"]
    values = {
        "Prospecting": {"stage": 1},
        "Trial": {"stage": 2},
        "Engaging": {"stage": 3},
        "Won": {"stage": 3, "outcome": "won"},
        "Lost": {"stage": 3, "outcome": "lost"},
    }
    grown = with_process(stages=[stages[0], TRIAL, stages[1]], values=values)
    assert (await desk.load(folder, mapping=grown)).events == 1  # the new version
    folder.edit("sales_pipeline.csv", "Engaging,2/1/2026,,", "Won,2/1/2026,4/2/2026,70")
    folder.edit("sales_pipeline.csv", "Prospecting,,,", "Trial,,,")
    result = await desk.load(folder, now=LATER, mapping=grown)
    assert [(f.line, f.code) for f in result.rejections] == [(5, "stage_not_in_version")]
    state = await desk.state("E1")
    assert (state.outcome, state.process_version, state.completed_stage) == ("won", 1, 2)


async def test_another_process_key_is_refused_row_by_row(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    result = await desk.load(folder, mapping=with_process(key="crm-two"))
    assert {f.code for f in result.rejections} == {"process_fixed"}
    assert len(result.rejections) == result.counts["sales_pipeline.csv"]["rejected"] == 4


async def test_a_team_whose_member_has_left_is_doubted_and_the_rows_are_taken(desk: Desk, folder: Folder) -> None:
    await desk.load(folder)
    (ole,) = [f for f in await desk.account_facts() if getattr(f.event, "name", "") == "Ole Dahl"]
    commands = Commands(desk.accounts, b"secret", FixedClock(NOW))

    async def leave(work: Work) -> dict[str, Any]:
        return {"id": await leave_person(work, ole.entity_id, Departure())}

    await commands.run(CommandContext("tester", NOW, new_id()), {}, leave)
    result = await desk.load(folder, now=LATER)
    assert (result.counts["sales_teams.csv"]["taken"], result.events) == (3, 0)
    assert ("sales_teams.csv", 2, "person_has_left") in [(f.file, f.line, f.code) for f in result.doubts]
    assert (await desk.state("L1")).team_id is not None
