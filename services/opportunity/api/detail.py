"""Everything about one opportunity at a moment, told in words."""

from datetime import date, datetime

from pydantic import BaseModel

from services.opportunity import gate_labels, labels
from services.opportunity.api.asking import Asking
from services.opportunity.api.control import DealControl, control_of
from services.opportunity.api.file_items import FileLink, file_links, showing
from services.opportunity.api.gate_words import GateSays, says
from services.opportunity.api.names import Named, NamesOf, names_of
from services.opportunity.api.rows import Coded, Stage, coded, stage_of
from services.opportunity.domain.gates.evaluate import Gates
from services.opportunity.domain.gates.preview import preview
from services.opportunity.domain.opportunity.stages import Kind
from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.process import SalesProcess
from services.opportunity.queries.gates import read_book
from services.opportunity.queries.page import OpportunityPage
from shared.contracts.opportunity import Concession, Evidence, Requirement
from shared.kit.money import Money
from shared.web.language import Language, label


class MissingItem(Coded):
    """A milestone or success criterion of the working stage that nothing shows yet."""

    kind: Coded


class ActionItem(Coded):
    """`why_not`: what stands against it, when it is not allowed now."""

    allowed: bool
    why_not: str | None


class EvidenceItem(Coded):
    """What shows that a milestone was reached or a commitment given. `files`: those that it names, and those that were
    attached to it later."""

    stage: int
    kind: Coded
    evidence: Evidence
    files: list[FileLink]


class Line(BaseModel):
    product: Named
    quantity: int
    unit_price: Money | None


class ConcessionItem(BaseModel):
    """The latest word on a kind of concession. `reason` null: it follows from a lower amount. `granted_as`: in which role it was
    within somebody's authority."""

    kind: Coded
    concession: Concession
    reason: str | None
    reduction_bp: int | None
    granted_as: str | None


class Standing(BaseModel):
    """Where it stands. `stage`: the working stage, completed + 1; probabilities in per cent. `decision_due`: it is at risk, and
    nobody has decided to catch up or to give up."""

    stage: Stage
    buying_stage: Stage
    completed_stage: int
    entered_stage: int | None
    skipped_stages: list[int]
    probability_low: int
    probability_high: int
    synchrony: Coded
    funnel_state: Coded
    stage_since: datetime
    days_in_stage: int
    decision_due: bool
    risk_decision: Coded | None


class OpportunityDetail(BaseModel):
    """As it was at `as_of` by what was known at `known_at`; null: now."""

    id: str
    version: int
    name: str
    account: Named | None
    owner: Named | None
    team: Named | None
    process: Coded
    process_version: int
    outcome: Coded
    outcome_since: datetime
    reason: str | None
    competitor: str | None
    amount: Money | None
    close_date: date | None
    line_items: list[Line]
    flags: list[Coded]
    external_ids: dict[str, str]
    opened_at: datetime
    updated_at: datetime
    age_days: int
    position: Standing
    missing: list[MissingItem]
    actions: list[ActionItem]
    evidence: list[EvidenceItem]
    files: list[FileLink]
    control: DealControl
    concessions: list[ConcessionItem]
    gates: list[GateSays]
    as_of: datetime | None
    known_at: datetime | None


async def detail_of(
    opportunity_id: str, found: OpportunityPage, asking: Asking, as_of: datetime | None, known_at: datetime | None
) -> OpportunityDetail:
    """Actions are what the opportunity allows; whether the caller's role does is told when it is tried. What the gates say of what
    may be tried next is told of now alone."""
    state, process, language = found.state, found.process, asking.language
    calendar = asking.backend.calendar
    today = calendar.day_of(as_of or asking.now)
    ids = {"account": [state.account_id], "owner": [state.owner_id], "team": [state.team_id]}
    products = [item.product_id for item in state.line_items]
    names = await names_of(asking.connection, language, {**ids, "product": products})
    return OpportunityDetail(
        id=opportunity_id,
        version=found.version,
        name=state.name,
        account=names.one("account", state.account_id),
        owner=names.one("owner", state.owner_id),
        team=names.one("team", state.team_id),
        process=Coded(code=process.key, label=label(process.names, language, process.key)),
        process_version=process.version,
        outcome=coded(labels.OUTCOMES, state.outcome, language),
        outcome_since=state.outcome_since,
        reason=state.reason,
        competitor=state.competitor,
        amount=state.amount,
        close_date=state.close_date,
        line_items=_lines(state, names),
        flags=[coded(labels.FLAGS, flag, language) for flag in state.flags],
        external_ids=dict(state.external_ids),
        opened_at=state.opened_at,
        updated_at=found.updated_at,
        age_days=(today - calendar.day_of(state.opened_at)).days,
        position=_standing(found, language, (today - calendar.day_of(state.stage_since)).days),
        missing=[
            MissingItem(
                code=one.code,
                label=label(one.names, language, one.code),
                kind=coded(labels.EVIDENCE, one.kind, language),
            )
            for one in found.position.missing
        ],
        actions=[
            ActionItem(
                code=one.action,
                label=labels.word(labels.ACTIONS, one.action, language),
                allowed=one.allowed,
                why_not=one.why_not,
            )
            for one in found.position.actions
        ],
        evidence=_evidence(opportunity_id, state, process, asking),
        files=file_links(asking.root, opportunity_id, state.files.values()),
        control=await control_of(found, asking, as_of),
        concessions=_concessions(state, language),
        gates=await _gates(found, asking) if as_of is None and known_at is None else [],
        as_of=as_of,
        known_at=known_at,
    )


async def _gates(found: OpportunityPage, asking: Asking) -> list[GateSays]:
    book = (await read_book(asking.connection)).book
    gates = Gates(book, asking.now, asking.backend.calendar)
    said = preview(found.state, found.process, gates)
    return [says(one, asking.language, asking.root) for one in said]


def _standing(found: OpportunityPage, language: Language, days_in_stage: int) -> Standing:
    at, state, process = found.position, found.state, found.process
    decision = state.risk_decision
    return Standing(
        stage=stage_of(process.selling, at.working_stage, language),
        buying_stage=stage_of(process.buying, at.buying_stage, language),
        completed_stage=at.completed_stage,
        entered_stage=at.entered_stage,
        skipped_stages=sorted(state.skipped),
        probability_low=at.probability_low,
        probability_high=at.probability_high,
        synchrony=coded(labels.SYNCHRONY, at.synchrony, language),
        funnel_state=coded(labels.FUNNEL_STATES, at.funnel_state, language),
        stage_since=state.stage_since,
        days_in_stage=days_in_stage,
        decision_due=at.decision_due,
        risk_decision=None if decision is None else coded(labels.RISK_DECISIONS, decision, language),
    )


def _concessions(state: OpportunityState, language: Language) -> list[ConcessionItem]:
    return [
        ConcessionItem(
            kind=coded(gate_labels.ACTS, kind, language),
            concession=granted.concession,
            reason=granted.reason,
            reduction_bp=granted.reduction_bp,
            granted_as=granted.granted_as,
        )
        for kind, granted in sorted(state.concessions.items())
    ]


def _lines(state: OpportunityState, names: NamesOf) -> list[Line]:
    return [
        Line(
            product=names.one("product", item.product_id) or Named(id=item.product_id, name=None),
            quantity=item.quantity,
            unit_price=item.unit_price,
        )
        for item in state.line_items
    ]


def _evidence(
    opportunity_id: str, state: OpportunityState, process: SalesProcess, asking: Asking
) -> list[EvidenceItem]:
    """In order of stages, milestones before commitments."""
    found, language = [], asking.language
    for stage in process.selling:
        required: list[tuple[Kind, Requirement]] = [("milestone", one) for one in stage.milestones]
        required += [("criterion", one) for one in stage.criteria]
        for kind, one in required:
            evidence = state.evidence.get((stage.number, kind, one.code))
            if evidence is not None:
                found.append(
                    EvidenceItem(
                        stage=stage.number,
                        kind=coded(labels.EVIDENCE, kind, language),
                        code=one.code,
                        label=label(one.names, language, one.code),
                        evidence=evidence,
                        files=file_links(asking.root, opportunity_id, showing(state, (stage.number, kind, one.code))),
                    )
                )
    return found
