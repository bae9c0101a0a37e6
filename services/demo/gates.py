"""What the gates of the invented company did lately: they warned, stopped somebody, and let pass on a waiver; one was refused."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

from services.demo.company import Company
from services.demo.stories import stories
from services.opportunity.commands import Acting, anyone, change, claim_id
from services.opportunity.domain.gates.evaluate import GateRefusedError
from services.opportunity.domain.gates.waiver import ApproveWaiver, RefuseWaiver, RequestWaiver
from services.opportunity.domain.opportunity.concessions import GrantConcessions
from services.opportunity.entities import CLAIM
from services.opportunity.gating import approve_waiver, record_stop, refuse_waiver, request_waiver
from shared.contracts.opportunity import Concession
from shared.eventstore.commands import Decide, Work
from shared.eventstore.types import JsonObject
from shared.kit.ids import derived_id

Run = Callable[[str, str, datetime, Decide], Awaitable[None]]
"""(name of the command, actor, business time, what is decided)."""
GATE = "promise_agreed"
LASTS = timedelta(days=60)
DAY = timedelta(days=1)
_NAMES = UUID("9d1b7c3e-5a44-4f0d-8c5e-2f6a1b0c7d31")
PREPAID = GrantConcessions(
    concessions=(
        Concession(kind="discount", discount_bp=400),
        Concession(kind="payment_terms", payment_days=0),
    ),
    reason="款到发货，换取降价",
)
FOR_NOTHING = GrantConcessions(
    concessions=(Concession(kind="discount", discount_bp=300),), reason="对手报价更低，先降三个点"
)
BEARINGS = GrantConcessions(
    concessions=(Concession(kind="non_standard_promise", promise="配进口轴承，六周交货"),), reason="客户坚持用进口件"
)
SPARES = GrantConcessions(
    concessions=(Concession(kind="non_standard_promise", promise="现场常备两套备件，五年免费"),),
    reason="客户要求写进合同",
)


async def tell_gates(run: Run, company: Company, system: str, midnight: datetime) -> None:
    """All on the day before `midnight`, on stories that go on. By rules of the default book: another one may say otherwise."""
    owners = {story.key: story.owner for story in stories()}

    async def act(name: str, story: str, command: GrantConcessions, hour: int) -> None:
        at = midnight - DAY + timedelta(hours=hour)
        await run(f"gates/{name}", owners[story], at, _conceding(system, story, command))

    async def waiver(name: str, story: str, hour: int, reason: str, answer: ApproveWaiver | RefuseWaiver) -> None:
        waiver_id = str(derived_id(_NAMES, f"{system}/{name}"))
        manager = above(company, owners[story])
        at = midnight - DAY + timedelta(hours=hour)
        await run(f"gates/{name}/asked", owners[story], at, _asking(system, story, reason, midnight + LASTS, waiver_id))
        await run(f"gates/{name}/answered", manager, at + timedelta(hours=1), _answering(waiver_id, answer))

    await act("for-nothing", "dairy-line-4", FOR_NOTHING, 9)
    await act("prepaid", "dairy-line-4", PREPAID, 11)
    await act("stopped", "yf-water", BEARINGS, 9)
    await waiver("waived", "yf-water", 10, "轴承供应商周五才能书面确认", ApproveWaiver(note="周五补书面确认"))
    await act("passed", "yf-water", BEARINGS, 14)
    await act("stopped-too", "jb-monitor-3", SPARES, 9)
    await waiver(
        "not-waived", "jb-monitor-3", 10, "竞争对手已经答应", RefuseWaiver(reason="先问服务部，五年免费谁来兑现")
    )


def above(company: Company, person: str) -> str:
    """Who leads the team above."""
    team = company.teams[company.team_of(person, 0)]
    while team.manager == person and team.under is not None:
        team = company.teams[team.under]
    return team.manager


async def _opportunity(work: Work, system: str, story: str) -> str:
    return str((await work.state(CLAIM, claim_id(system, story))).state.opportunity_id)


def _conceding(system: str, story: str, command: GrantConcessions) -> Decide:
    roles = frozenset({"seller", "manager"})

    async def decide(work: Work) -> JsonObject:
        opportunity_id = await _opportunity(work, system, story)
        try:
            return await change(work, opportunity_id, [command], anyone, Acting(roles))
        except GateRefusedError as refusal:
            return await record_stop(work, opportunity_id, refusal)

    return decide


def _asking(system: str, story: str, reason: str, until: datetime, waiver_id: str) -> Decide:
    async def decide(work: Work) -> JsonObject:
        opportunity_id = await _opportunity(work, system, story)
        asked = RequestWaiver(gate=GATE, opportunity_id=opportunity_id, reason=reason, expires_at=until)
        return await request_waiver(work, asked, anyone, waiver_id)

    return decide


def _answering(waiver_id: str, answer: ApproveWaiver | RefuseWaiver) -> Decide:
    roles = frozenset({"manager"})

    async def decide(work: Work) -> JsonObject:
        if isinstance(answer, ApproveWaiver):
            return await approve_waiver(work, waiver_id, answer, anyone, roles)
        return await refuse_waiver(work, waiver_id, answer, anyone, roles)

    return decide
