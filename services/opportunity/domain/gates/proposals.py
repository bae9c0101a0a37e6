"""Rules that a recurring anomaly proposes (R2, R5): what keeps recurring is better noticed at the next step than on a report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from services.opportunity.domain.anomalies.limits import AnomalyLimits
from shared.contracts.opportunity import Condition, GateRule, Guard

Cause = Literal["stalled", "slipping", "behind", "ahead", "early_near_close"]
CODES: Mapping[Cause, str] = {
    "stalled": "stalled",
    "slipping": "slipping",
    "behind": "out_of_sync",
    "ahead": "out_of_sync",
    "early_near_close": "early_near_close",
}
"""The anomaly that each is a case of. What is about a person is no matter of one deal's next step: it proposes no rule."""


@dataclass(frozen=True, slots=True)
class Recurring:
    """So many opportunities show it now. `process`, `stage` (number): where they stall. `limit`: days there, for `stalled`."""

    cause: Cause
    count: int
    process: str | None = None
    stage: int | None = None
    limit: int | None = None

    @property
    def key(self) -> str:
        """Of the proposed gate."""
        where = "" if self.stage is None else f"_{str(self.process).replace('-', '_')}_{self.stage}"
        return f"after_{self.cause}{where}"[:60]


def propose(found: Recurring, limits: AnomalyLimits) -> GateRule:
    """Warns, at the completion of a stage: whoever switches it on may make it stricter."""
    return _RULES[found.cause](found, limits)


def _rule(
    en: str, zh: str, message: tuple[str, str], when: Condition | None, needs: Condition, *stages: int
) -> GateRule:
    return GateRule(
        names={"en": en, "zh": zh},
        guards=(Guard(act="stage_completed", stages=stages),),
        applies_when=when,
        requires=needs,
        mode="warn",
        message={"en": message[0], "zh": message[1]},
    )


_DECIDED = Condition(fact="assessment_decision", test="known")


def _stalled(found: Recurring, _: AnomalyLimits) -> GateRule:
    long = Condition(fact="days_in_stage", test="above", value=found.limit or 0)
    here = Condition(fact="process", test="is", value=found.process or "default")
    return _rule(
        "Decided after it stalled", "停滞后须作决定",
        ("It stood in this stage for longer than its limit: assess it again before going on",
         "在本阶段停留超过上限：请重新评估后再继续"),
        Condition(all_of=(here, long)), _DECIDED, *([] if found.stage is None else [found.stage]),
    )  # fmt: skip


def _slipping(_: Recurring, limits: AnomalyLimits) -> GateRule:
    return _rule(
        "Close dates that hold", "成交日期须可信",
        ("The close date was put off again and again: assess it before more effort goes in",
         "预计成交日期一再推迟：请先评估再继续投入"),
        Condition(fact="times_pushed_out", test="at_least", value=limits.pushed_out), _DECIDED,
    )  # fmt: skip


def _behind(_: Recurring, __: AnomalyLimits) -> GateRule:
    return _rule(
        "Catch up or give up", "追赶或放弃",
        ("The customer is far ahead of us: decide to catch up or to give up", "客户远超我方进度：请决定追赶或放弃"),
        Condition(fact="synchrony", test="is", value="at_risk"), Condition(fact="risk_decision", test="known"),
    )  # fmt: skip


def _ahead(_: Recurring, __: AnomalyLimits) -> GateRule:
    return _rule(
        "Not ahead of the customer", "不得超前于客户",
        ("We sell ahead of the customer: look where it really stands", "销售超前于客户：请核实客户采购阶段"),
        None, Condition(fact="synchrony", test="is_not", value="ahead"),
    )  # fmt: skip


def _early(_: Recurring, limits: AnomalyLimits) -> GateRule:
    near = Condition(fact="days_to_close", test="at_most", value=limits.near_close_days)
    early = Condition(fact="probability_low", test="below", value=limits.early_below)
    return _rule(
        "A close date that can be met", "成交日期须可实现",
        ("It is early, and its close date is near: move the date or decide about it",
         "阶段尚早而成交日期临近：请调整日期或作出决定"),
        Condition(all_of=(near, early)), _DECIDED,
    )  # fmt: skip


_RULES: Mapping[Cause, Callable[[Recurring, AnomalyLimits], GateRule]] = {
    "stalled": _stalled,
    "slipping": _slipping,
    "behind": _behind,
    "ahead": _ahead,
    "early_near_close": _early,
}
