"""The facts that conditions may speak of: a fixed vocabulary, each with its kind, read off an opportunity and its process."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from services.opportunity.domain.opportunity.state import OpportunityState
from services.opportunity.domain.process import SalesProcess, probability, synchrony, working_stage
from shared.contracts.opportunity import Concession
from shared.kit.calendar import BusinessCalendar
from shared.kit.money import Money

Kind = Literal["yes_no", "number", "money", "code", "codes"]
Value = bool | int | str | Money | frozenset[str]
Facts = Mapping[str, Value | None]
"""By name; None or absent: not on record."""


@dataclass(frozen=True, slots=True)
class Fact:
    """`en`, `zh`: what it is called."""

    kind: Kind
    en: str
    zh: str


FACTS: Final[Mapping[str, Fact]] = {
    "account": Fact("code", "account", "客户"),
    "owner": Fact("code", "owner", "负责人"),
    "team": Fact("code", "team", "团队"),
    "process": Fact("code", "sales process", "销售流程"),
    "amount": Fact("money", "amount", "金额"),
    "days_to_close": Fact("number", "days to the close date", "距预计成交天数"),
    "age_days": Fact("number", "days since it was opened", "商机天数"),
    "days_in_stage": Fact("number", "days in the stage", "停留阶段天数"),
    "lines": Fact("number", "number of product lines", "产品明细行数"),
    "flags": Fact("codes", "doubts noted", "疑点"),
    "completed_stage": Fact("number", "completed stages", "已完成阶段"),
    "working_stage": Fact("number", "working stage", "当前阶段"),
    "buying_stage": Fact("number", "buying stage", "采购阶段"),
    "skipped_stages": Fact("number", "number of skipped stages", "跳过的阶段数"),
    "synchrony": Fact("code", "synchrony", "同步状态"),
    "funnel_state": Fact("code", "funnel state", "漏斗状态"),
    "probability_low": Fact("number", "win probability, low", "赢单概率下限"),
    "probability_high": Fact("number", "win probability, high", "赢单概率上限"),
    "milestones": Fact("codes", "milestones reached", "已达成里程碑"),
    "commitments": Fact("codes", "commitments given", "客户承诺"),
    "risk_decision": Fact("code", "decision about the risk", "风险决策"),
    "assessment_total": Fact("number", "assessment, in hundredths of a point", "评估得分（百分之一分）"),
    "assessment_decision": Fact("code", "decision on the assessment", "评估决定"),
    "times_pushed_out": Fact("number", "times the close date was pushed out", "预计成交日期推迟次数"),
    "visits": Fact("number", "visits", "拜访次数"),
    "discount_bp": Fact("number", "discount in basis points", "折扣（基点）"),
    "price": Fact("money", "price agreed", "约定价格"),
    "price_reduction_bp": Fact("number", "price reduction in basis points", "降价幅度（基点）"),
    "payment_days": Fact("number", "days of payment agreed", "约定账期天数"),
    "payment_days_saved": Fact("number", "days paid earlier than by standard terms", "早于标准账期的天数"),
    "promise_agreed_by": Fact("codes", "who has agreed to keep the promise", "已同意兑现承诺的职能"),
}
"""Terms, evidence and concessions count as they are after the act; where the sale stood, as it was before."""


def facts_of(
    before: OpportunityState,
    after: OpportunityState,
    process: SalesProcess,
    *,
    standard_payment_days: int | None,
    at: datetime,
    calendar: BusinessCalendar,
) -> Facts:
    """Of an act that makes `after` from `before` at the business time `at`."""
    low, high = probability(process, before.completed_stage, before.entered_stage)
    today = calendar.day_of(at)
    buying = process.buying[min(before.buying_stage, len(process.buying)) - 1]
    standing: dict[str, Value | None] = {
        "account": after.account_id,
        "owner": after.owner_id,
        "team": after.team_id,
        "process": before.process,
        "amount": after.amount,
        "days_to_close": None if after.close_date is None else (after.close_date - today).days,
        "age_days": (today - calendar.day_of(before.opened_at)).days,
        "days_in_stage": (today - calendar.day_of(before.stage_since)).days,
        "lines": len(after.line_items),
        "flags": frozenset(after.flags),
        "completed_stage": before.completed_stage,
        "working_stage": working_stage(before.completed_stage, process),
        "buying_stage": before.buying_stage,
        "skipped_stages": len(before.skipped),
        "synchrony": synchrony(process, before.completed_stage, before.buying_stage),
        "funnel_state": buying.funnel_state,
        "probability_low": low,
        "probability_high": high,
        "milestones": frozenset(code for _, kind, code in after.evidence if kind == "milestone"),
        "commitments": frozenset(code for _, kind, code in after.evidence if kind == "criterion"),
        "risk_decision": before.risk_decision,
    }
    return standing | _judged(after) | _conceded(after, standard_payment_days)


def _judged(state: OpportunityState) -> dict[str, Value | None]:
    assessed = state.assessment
    return {
        "assessment_total": None if assessed is None else assessed.total,
        "assessment_decision": None if assessed is None else assessed.decision,
        "times_pushed_out": len(state.pushed_out_at),
        "visits": state.visits,
    }


def _conceded(state: OpportunityState, standard_payment_days: int | None) -> dict[str, Value | None]:
    """The latest word on each kind of concession."""
    latest = {kind: granted.concession for kind, granted in state.concessions.items()}
    nothing = Concession(kind="discount")
    promise, price = latest.get("non_standard_promise"), state.concessions.get("price")
    agreed = latest.get("payment_terms", nothing).payment_days
    saved = None if standard_payment_days is None else standard_payment_days - (agreed or 0)
    return {
        "discount_bp": latest.get("discount", nothing).discount_bp,
        "price": None if price is None else price.concession.price,
        "price_reduction_bp": None if price is None else price.reduction_bp,
        "payment_days": agreed,
        # Where nothing was agreed, the standard terms stand.
        "payment_days_saved": 0 if agreed is None else saved,
        "promise_agreed_by": None if promise is None else frozenset(promise.agreed_by),
    }
