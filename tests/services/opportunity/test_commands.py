"""Opening, changing and upserting opportunities on a real store."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.opportunity.commands import anyone, change, define_process, open_opportunity, upsert
from services.opportunity.domain.opportunity.opening import OpenOpportunity
from services.opportunity.domain.opportunity.outcome import Lose, Reopen
from services.opportunity.domain.opportunity.progress import AssertProgress
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.opportunity.terms import ChangeAmount, Rename
from services.opportunity.domain.process import DefineProcess
from shared.contracts.opportunity import (
    AmountRaised,
    CloseDatePushedOut,
    ExternalIdLinked,
    OpportunityOpened,
    OpportunityRenamed,
    OwnerAssigned,
)
from shared.contracts.refusal import RefusedError, refuse
from shared.eventstore.commands import Outcome
from shared.kit.money import Money
from tests.services.opportunity.conftest import NOW, Act, Desk
from tests.services.opportunity.deals import OTHER, OWNER, SHORT, reach, win

FORM = DefineProcess(**SHORT.model_dump(exclude={"key", "version"}))
FIVE, SIX = Money(minor=5, currency="CNY"), Money(minor=6, currency="CNY")
LONG_AGO = NOW - timedelta(days=60)


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def _short_process(desk: Desk) -> None:
    await desk.run(lambda work: define_process(work, "short", FORM))


def wanted(**fields: Any) -> OpenOpportunity:
    return OpenOpportunity(**{"name": "Line 3", "process": "short", **fields})


def opening(**fields: Any) -> Act:
    return lambda work: open_opportunity(work, wanted(**fields), anyone)


def upserting(external_id: str, steps: Any = None, **fields: Any) -> Act:
    return lambda work: upsert(work, "crm", external_id, wanted(**fields), anyone, steps)


def changing(opportunity_id: str, *commands: Any) -> Act:
    return lambda work: change(work, opportunity_id, commands, anyone)


async def refused(desk: Desk, act: Act, *codes: str) -> RefusedError:
    with pytest.raises(RefusedError) as refusal:
        await desk.run(act)
    assert [reason.code for reason in refusal.value.reasons] == list(codes)
    return refusal.value


async def test_an_opportunity_is_opened_under_the_latest_version_of_its_process(desk: Desk) -> None:
    first = await desk.do(opening())
    renamed = FORM.model_copy(update={"names": {"en": "Shorter"}})
    await desk.run(lambda work: define_process(work, "short", renamed))
    second = await desk.do(opening())
    assert ((await desk.state(first)).process_version, (await desk.state(second)).process_version) == (1, 2)


async def test_a_process_defined_again_alike_stays_as_it_is(desk: Desk) -> None:
    outcome = await desk.run(lambda work: define_process(work, "short", FORM))
    assert (outcome.answer, outcome.events) == ({"key": "short", "version_number": 1}, ())


async def test_opening_links_and_claims_external_ids(desk: Desk) -> None:
    opportunity_id = await desk.do(opening(external_ids={"crm": "1", "erp": "2"}))
    assert await desk.events(opportunity_id) == [
        OpportunityOpened(name="Line 3", process="short", process_version=1),
        ExternalIdLinked(system="crm", external_id="1"),
        ExternalIdLinked(system="erp", external_id="2"),
    ]
    assert (await desk.do(upserting("1"))) == opportunity_id


async def test_an_external_id_names_one_opportunity(desk: Desk) -> None:
    await desk.do(opening(external_ids={"crm": "1"}))
    await refused(desk, opening(external_ids={"crm": "1"}), "external_id_taken")


@pytest.mark.parametrize(
    ("ids", "code"),
    [
        ({"c r m": "1"}, "bad_system"),
        ({"": "1"}, "bad_system"),
        ({"crm": " "}, "bad_external_id"),
        ({"crm": "x" * 201}, "bad_external_id"),
        ({"crm": "\0"}, "bad_external_id"),
    ],
)
async def test_an_external_id_that_cannot_be_one_is_refused(desk: Desk, ids: dict[str, str], code: str) -> None:
    assert (await refused(desk, opening(external_ids=ids), code)).kind == "input"


async def test_an_unknown_process_is_refused(desk: Desk) -> None:
    await refused(desk, opening(process="none"), "unknown_process")


async def test_an_unknown_opportunity_cannot_be_changed(desk: Desk) -> None:
    await refused(desk, changing(OWNER, Rename(name="x")), "not_found")


async def test_who_may_not_changes_nothing(desk: Desk) -> None:
    def nobody(_: OpportunityState) -> None:
        raise refuse("not_yours", "no", kind="forbidden")

    opportunity_id = await desk.do(opening())
    await refused(desk, lambda work: change(work, opportunity_id, [Rename(name="x")], nobody), "not_yours")
    await refused(desk, lambda work: open_opportunity(work, wanted(), nobody), "not_yours")
    assert len(await desk.events(opportunity_id)) == 1


async def test_several_changes_are_one_append_and_the_first_refusal_refuses_them_all(desk: Desk) -> None:
    opportunity_id = await desk.do(opening())
    await refused(desk, changing(opportunity_id, Rename(name="x"), win()), "stages_missing")
    outcome = await desk.run(changing(opportunity_id, reach("called"), reach("priced"), ChangeAmount(amount=FIVE)))
    assert (len(outcome.events), outcome.version) == (4, 5)
    assert {event.recorded_at for event in outcome.events} == {outcome.events[0].recorded_at}  # type: ignore[union-attr]


async def test_a_dry_run_decides_and_writes_nothing(desk: Desk) -> None:
    opportunity_id = await desk.do(opening())
    outcome = await desk.run(changing(opportunity_id, Rename(name="x")), dry_run=True)
    assert [event.event for event in outcome.events] == [OpportunityRenamed(name="x")]
    assert len(await desk.events(opportunity_id)) == 1


async def test_an_upsert_opens_once_and_twice_changes_nothing(desk: Desk) -> None:
    fields: dict[str, Any] = {"owner_id": OWNER, "amount": FIVE, "close_date": date(2017, 6, 30)}
    first = await desk.run(upserting("7", **fields))
    again = await desk.run(upserting("7", **fields))
    assert (first.answer["created"], again.answer["created"]) == (True, False)
    assert (again.answer["opportunity_id"], again.events) == (first.answer["opportunity_id"], ())


async def test_a_changed_row_changes_only_what_changed(desk: Desk) -> None:
    fields: dict[str, Any] = {"owner_id": OWNER, "amount": FIVE, "close_date": date(2017, 6, 30)}
    await desk.do(upserting("7", **fields))
    changed: dict[str, Any] = {"owner_id": OTHER, "amount": SIX, "close_date": date(2017, 7, 31)}
    for name, event in (
        ("owner_id", OwnerAssigned(owner_id=OTHER, former_id=OWNER)),
        ("amount", AmountRaised(amount=SIX, former=FIVE)),
        ("close_date", CloseDatePushedOut(close_date=date(2017, 7, 31), former=date(2017, 6, 30))),
    ):
        fields[name] = changed[name]
        assert [one.event for one in (await desk.run(upserting("7", **fields))).events] == [event]


async def test_what_an_upsert_leaves_out_stays(desk: Desk) -> None:
    opportunity_id = await desk.do(upserting("7", owner_id=OWNER, amount=FIVE))
    await desk.run(upserting("7"))
    assert (await desk.state(opportunity_id)).owner_id == OWNER
    await desk.run(upserting("7", owner_id=None))
    assert (await desk.state(opportunity_id)).owner_id is None


async def test_an_upsert_does_not_undo_a_later_word(desk: Desk) -> None:
    opportunity_id = await desk.do(upserting("7", amount=FIVE, occurred_at=LONG_AGO))
    await desk.run(changing(opportunity_id, ChangeAmount(amount=SIX)))
    again = await desk.run(upserting("7", amount=FIVE, occurred_at=LONG_AGO))
    assert (again.events, (await desk.state(opportunity_id)).amount) == ((), SIX)


async def test_an_upsert_links_further_ids_but_no_second_one_of_a_system(desk: Desk) -> None:
    await desk.do(upserting("7"))
    linked = await desk.run(upserting("7", external_ids={"erp": "70"}))
    assert ExternalIdLinked(system="erp", external_id="70") in [event.event for event in linked.events]
    assert (await desk.run(upserting("7", external_ids={"erp": "70"}))).events == ()
    await refused(desk, upserting("7", external_ids={"erp": "71"}), "external_id_fixed")
    await desk.do(upserting("8"))
    await refused(desk, upserting("8", external_ids={"erp": "70"}), "external_id_taken")


async def test_the_process_of_an_opportunity_stays(desk: Desk) -> None:
    await desk.do(upserting("7"))
    await refused(desk, upserting("7", process="default"), "process_fixed")


async def test_eight_upserts_at_once_open_one_opportunity(desk: Desk) -> None:
    outcomes: Sequence[Outcome] = await asyncio.gather(*(desk.run(upserting("7")) for _ in range(8)))
    assert len({outcome.answer["opportunity_id"] for outcome in outcomes}) == 1
    assert sum(bool(outcome.answer["created"]) for outcome in outcomes) == 1


async def test_steps_of_another_system_count_from_what_they_rest_on(desk: Desk) -> None:
    """A row that was opened today is said to have been won two months ago: it was won no earlier than it was opened."""
    steps = [AssertProgress(completed_stage=3, note="CRM", occurred_at=LONG_AGO), win(FIVE)]
    opportunity_id = await desk.do(upserting("7", lambda _: steps))
    state = await desk.state(opportunity_id)
    assert (state.outcome, state.outcome_since, state.amount) == ("won", NOW, FIVE)


async def test_a_row_that_was_lost_and_is_won_ends_as_won(desk: Desk) -> None:
    lost = [Lose(reason="price", occurred_at=LONG_AGO)]
    opportunity_id = await desk.do(upserting("7", lambda _: lost, occurred_at=LONG_AGO))
    progress = AssertProgress(completed_stage=3, note="CRM", occurred_at=LONG_AGO)
    won = [Reopen(reason="CRM"), progress, win().model_copy(update={"occurred_at": LONG_AGO})]
    await desk.run(upserting("7", lambda _: won))
    assert (await desk.state(opportunity_id)).outcome == "won"


async def test_one_change_before_the_opening_is_refused(desk: Desk) -> None:
    opportunity_id = await desk.do(opening())
    await refused(desk, changing(opportunity_id, Rename(name="x", occurred_at=LONG_AGO)), "before_opening")
    await refused(desk, opening(occurred_at=NOW + timedelta(hours=1)), "occurred_at_ahead")
