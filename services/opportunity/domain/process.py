"""Sales processes as versioned data (R1), and the arithmetic over them (R1–R3)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from services.opportunity.domain.commands import Command
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import BuyingStage, Names, ProcessDefined, Requirement, SellingStage
from shared.contracts.refusal import Reason, RefusedError

SalesProcess = ProcessDefined
Synchrony = Literal["in_sync", "behind", "at_risk", "ahead"]


class DefineProcess(Command):
    """A new version of the process `key`; the first one is version 1. The rest is as in the event."""

    names: Names
    selling: tuple[SellingStage, ...]
    buying: tuple[BuyingStage, ...]
    at_risk_gap: int = 2


@dataclass(frozen=True, slots=True)
class ProcessState:
    """All versions of one process, in order."""

    versions: tuple[SalesProcess, ...] = ()


def evolve_process(state: ProcessState, e: Recorded[Any]) -> ProcessState:
    if isinstance(e.event, ProcessDefined):
        return replace(state, versions=(*state.versions, e.event))
    return state


def decide_define_process(state: ProcessState, command: DefineProcess, key: str) -> Sequence[Event]:
    """Refuses (kind input) with every fault at once; nothing to do when the latest version says the same."""
    faults = [*_bad_key(key), *_faults(command)]
    if faults:
        raise RefusedError(tuple(faults), "input")
    fields = command.model_dump(exclude={"occurred_at"})
    version = len(state.versions) + 1
    defined = ProcessDefined(key=key, version=version, **fields)
    if state.versions and state.versions[-1].model_copy(update={"version": version}) == defined:
        return []
    return [defined]


def _bad_key(key: str) -> Sequence[Reason]:
    if re.fullmatch(r"[a-z][a-z0-9_-]{0,59}", key):
        return ()
    fault = f"{key[:80]!r} cannot be the key of a process"
    return (Reason("bad_key", fault, "key", "a small letter, then up to 59 small letters, digits, _ or -"),)


def _faults(command: DefineProcess) -> Sequence[Reason]:
    faults: list[Reason] = []
    groups: tuple[tuple[str, Sequence[SellingStage | BuyingStage]], ...] = (
        ("selling", command.selling),
        ("buying", command.buying),
    )
    for field, stages in groups:
        if [stage.number for stage in stages] != list(range(1, len(stages) + 1)) or not stages:
            faults.append(Reason("bad_stage_numbers", f"{field} stages must be numbered 1, 2, 3 … in order", field))
        if len({stage.code for stage in stages}) != len(stages):
            faults.append(Reason("duplicate_code", f"two {field} stages have the same code", field))
        faults += [
            Reason("missing_name", f"{field} stage {stage.number} has no English name", f"{field}.{stage.number}.names")
            for stage in stages
            if not stage.names.get("en", "").strip()
        ]
    if len(command.selling) != len(command.buying):
        counts = f"{len(command.selling)} selling and {len(command.buying)} buying stages"
        faults.append(Reason("unmatched_stages", f"{counts}: stage n of one answers stage n of the other", "buying"))
    if not command.names.get("en", "").strip():
        faults.append(Reason("missing_name", "the process has no English name", "names", "names.en"))
    probabilities = [stage.probability for stage in command.selling]
    if probabilities != sorted(probabilities):
        faults.append(Reason("falling_probability", "the probability may not fall from stage to stage", "selling"))
    for stage in command.selling:
        required = [r.code for r in (*stage.milestones, *stage.criteria)]
        if len(set(required)) != len(required):
            faults.append(
                Reason(
                    "duplicate_code", f"stage {stage.number} requires the same thing twice", f"selling.{stage.number}"
                )
            )
        if not stage.criteria:
            fault = f"selling stage {stage.number} has no success criterion, so it could never be completed"
            faults.append(
                Reason("missing_criterion", fault, f"selling.{stage.number}.criteria", "one criterion or more")
            )
    if command.at_risk_gap < 1:
        faults.append(Reason("bad_gap", "at_risk_gap must be at least 1", "at_risk_gap"))
    return faults


def last_stage(process: SalesProcess) -> int:
    return len(process.selling)


def working_stage(completed: int, process: SalesProcess) -> int:
    """The stage shown on boards: completed + 1, or the last one when all are completed (R1)."""
    return min(completed + 1, last_stage(process))


def probability(process: SalesProcess, completed: int, entered: int | None) -> tuple[int, int]:
    """Per cent, (low, high): the completed stage's, and, while the next one is entered, up to that one's (R1, R2)."""
    low = process.selling[completed - 1].probability if completed else 0
    return low, process.selling[entered - 1].probability if entered else low


def synchrony(process: SalesProcess, completed: int, buying: int) -> Synchrony:
    """Working stage against buying stage (R1)."""
    gap = buying - working_stage(completed, process)
    if gap == 0:
        return "in_sync"
    if gap < 0:
        return "ahead"
    return "at_risk" if gap >= process.at_risk_gap else "behind"


def _required(*parts: tuple[str, str, str]) -> tuple[Requirement, ...]:
    return tuple(Requirement(code=code, names={"en": en, "zh": zh}) for code, en, zh in parts)


def _selling(
    number: int,
    code: str,
    names: tuple[str, str],
    probability: int,
    criterion: tuple[str, str, str],
    *milestones: tuple[str, str, str],
) -> SellingStage:
    return SellingStage(
        number=number,
        code=code,
        names={"en": names[0], "zh": names[1]},
        probability=probability,
        milestones=_required(*milestones),
        criteria=_required(criterion),
    )


def _default_selling() -> tuple[SellingStage, ...]:
    """R1's eight selling stages; probabilities of R2; milestones are ours."""
    return (
        _selling(
            1, "prospecting", ("Prospecting", "客户规划与电话邀约"), 10,
            ("meeting_agreed", "Agrees to a face-to-face meeting", "同意面谈"),
            ("information_gathered", "Information gathered", "收集信息"),
            ("opportunity_assessed", "Opportunity assessed", "评估销售机会"),
            ("priority_set", "Priority set", "确定优先级"),
        ),
        _selling(
            2, "discovery", ("Discovery", "客户拜访与初步调研"), 20,
            ("proposal_requested", "Asks for an initial proposal; we are a candidate supplier", "要求提交初步方案，成为候选供应商"),
            ("first_visit_held", "First visit held", "完成首次拜访"),
            ("buying_centre_mapped", "Buying centre mapped", "画出采购中心"),
            ("decision_maker_identified", "Decision maker identified", "找到决策者"),
        ),
        _selling(
            3, "initial_proposal", ("Initial proposal", "提交初步方案"), 25,
            ("exchange_agreed", "Agrees to a technical exchange", "同意技术交流"),
            ("needs_confirmed", "Needs written down and confirmed", "需求书面确认"),
            ("initial_proposal_drafted", "Initial proposal drafted", "起草初步方案"),
        ),
        _selling(
            4, "demonstration", ("Demonstration", "方案演示与技术交流"), 30,
            ("formal_proposal_invited", "Allows us to design the formal proposal", "同意我方设计正式方案"),
            ("initial_proposal_delivered", "Initial proposal delivered", "提交初步方案"),
            ("two_departments_reacted", "Reactions of two departments", "取得两个部门的反馈"),
            ("buying_group_contacted", "First contact in the buying group", "与采购小组首次接触"),
        ),
        _selling(
            5, "formal_proposal", ("Formal proposal", "需求分析与正式方案设计"), 50,
            ("screening_passed", "Passes us through the first screening of bids", "通过投标初步筛选"),
            ("tender_analysed", "Tender analysed", "分析招标文件"),
            ("formal_proposal_designed", "Formal proposal or bid designed", "设计正式方案或标书"),
        ),
        _selling(
            6, "evaluation", ("Evaluation", "项目评估"), 75,
            ("named_preferred", "Names us preferred supplier", "确定我方为首选供应商"),
            ("bid_delivered", "Bid delivered", "递交标书"),
            ("evaluators_contacted", "Evaluators mapped and contacted", "摸清并接触评标人"),
        ),
        _selling(
            7, "negotiation", ("Negotiation", "商务谈判"), 90,
            ("terms_agreed", "Agrees the terms", "就条款达成一致"),
            ("executive_visit_held", "Executive visit held", "完成高层拜访"),
            ("draft_terms_exchanged", "Draft terms exchanged", "交换条款草案"),
        ),
        _selling(
            8, "signing", ("Signing", "签约成交"), 100,
            ("contract_signed", "Signs the contract", "签订合同"),
            ("final_text_approved", "Final text approved by both sides", "双方审定最终文本"),
            ("signatories_named", "Signatories named", "确定签约人"),
        ),
    )  # fmt: skip


def _default_buying() -> tuple[BuyingStage, ...]:
    """R1's eight buying stages; funnel states of R3."""
    rows: tuple[tuple[str, str, str, Literal["searching", "in_funnel", "best"]], ...] = (
        ("need_recognised", "Need recognised", "发现问题，提出需求", "searching"),
        ("budgeting", "Budgeting", "研究可行性，确定预算", "searching"),
        ("project_initiated", "Project initiated", "项目立项，组建采购小组", "in_funnel"),
        ("criteria_set", "Criteria set", "建立采购标准", "in_funnel"),
        ("tendering", "Tendering", "招标，初步筛选", "in_funnel"),
        ("supplier_preferred", "Supplier preferred", "确定首选供应商", "best"),
        ("negotiating", "Negotiating", "商务谈判", "best"),
        ("contracting", "Contracting", "签约", "best"),
    )
    return tuple(
        BuyingStage(number=n, code=code, names={"en": en, "zh": zh}, funnel_state=state)
        for n, (code, en, zh, state) in enumerate(rows, 1)
    )


DEFAULT_PROCESS = DefineProcess(
    names={"en": "Complex sale", "zh": "项目型销售"}, selling=_default_selling(), buying=_default_buying()
)
DEFAULT_PROCESS_KEY = "default"
