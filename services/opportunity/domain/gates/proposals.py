"""Rules that a recurring anomaly proposes (R2, R5): what keeps recurring is better noticed at the next step than on a report."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from services.opportunity.domain.anomalies.limits import AnomalyLimits
from services.opportunity.domain.process import Synchrony
from shared.contracts.opportunity import Condition, GateRule, Guard, ProofCase
from shared.contracts.opportunity.conditions import Wanted

Cause = Literal["stalled", "slipping", "behind", "ahead", "early_near_close"]
CODES: Mapping[Cause, str] = {
    "stalled": "stalled",
    "slipping": "slipping",
    "behind": "out_of_sync",
    "ahead": "out_of_sync",
    "early_near_close": "early_near_close",
}
"""The anomaly that each is a case of. What is about a person is no matter of one deal's next step: it proposes no rule."""
SYNCHRONIES: Mapping[Cause, Sequence[Synchrony]] = {"behind": ("behind", "at_risk"), "ahead": ("ahead",)}
"""What tells those of one cause from the others of the same anomaly."""


@dataclass(frozen=True, slots=True)
class Recurring:
    """So many opportunities show it now. `process`, `stage` (number), `stage_code`: where they stall. `limit`: days there, for
    `stalled`."""

    cause: Cause
    count: int
    process: str | None = None
    stage: int | None = None
    limit: int | None = None
    stage_code: str | None = None

    @property
    def key(self) -> str:
        """Of the proposed gate; always the same for the same place. Two places may have codes that look alike in a key: a hash
        tells them apart."""
        if self.stage is None:
            return f"after_{self.cause}"
        where = f"{self.process}/{self.stage}/{self.stage_code}/{self.limit}"
        named = re.sub(r"[^a-z0-9]+", "_", str(self.stage_code).lower())[:30]
        return f"after_{self.cause}_{named}_{hashlib.sha256(where.encode()).hexdigest()[:8]}"


def propose(found: Recurring, limits: AnomalyLimits) -> GateRule:
    """Warns when a stage is left behind, completed or skipped: whoever switches it on may make it stricter, for it brings its
    proofs."""
    return _RULES[found.cause](found, limits)


def _rule(
    en: str,
    zh: str,
    message: tuple[str, str],
    when: Condition | None,
    needs: Condition,
    fires: Mapping[str, Wanted],
    mended: Mapping[str, Wanted],
    *stages: int,
) -> GateRule:
    """`fires`: facts on which it does; `mended`: those of them that make it pass."""
    return GateRule(
        names={"en": en, "zh": zh},
        guards=(Guard(act="stage_completed", stages=stages), Guard(act="stage_skipped", stages=stages)),
        applies_when=when,
        requires=needs,
        mode="warn",
        message={"en": message[0], "zh": message[1]},
        proofs=(
            ProofCase(name="as it recurs", facts=dict(fires), expect="fires"),
            ProofCase(name="mended", facts={**fires, **mended}, expect="passes"),
        ),
    )


_DECIDED = Condition(fact="assessment_decision", test="known")
_PURSUED: Mapping[str, Wanted] = {"assessment_decision": "pursue"}


def _stalled(found: Recurring, _: AnomalyLimits) -> GateRule:
    long = Condition(fact="days_in_stage", test="above", value=found.limit or 0)
    here = Condition(fact="process", test="is", value=found.process or "default")
    return _rule(
        "Decided after it stalled", "停滞后须作决定",
        ("It stood in this stage for longer than its limit: assess it again before going on",
         "在本阶段停留超过上限：请重新评估后再继续"),
        Condition(all_of=(here, long)), _DECIDED,
        {"process": found.process or "default", "days_in_stage": (found.limit or 0) + 1}, _PURSUED,
        *([] if found.stage is None else [found.stage]),
    )  # fmt: skip


def _slipping(_: Recurring, limits: AnomalyLimits) -> GateRule:
    return _rule(
        "Close dates that hold", "成交日期须可信",
        ("The close date was put off again and again: assess it before more effort goes in",
         "预计成交日期一再推迟：请先评估再继续投入"),
        Condition(fact="times_pushed_out", test="at_least", value=limits.pushed_out), _DECIDED,
        {"times_pushed_out": limits.pushed_out}, _PURSUED,
    )  # fmt: skip


def _behind(_: Recurring, __: AnomalyLimits) -> GateRule:
    return _rule(
        "Catch up or give up", "追赶或放弃",
        ("The customer is far ahead of us: decide to catch up or to give up", "客户远超我方进度：请决定追赶或放弃"),
        Condition(fact="synchrony", test="is", value="at_risk"), Condition(fact="risk_decision", test="known"),
        {"synchrony": "at_risk"}, {"risk_decision": "catch_up"},
    )  # fmt: skip


def _ahead(_: Recurring, __: AnomalyLimits) -> GateRule:
    return _rule(
        "Not ahead of the customer", "不得超前于客户",
        ("We sell ahead of the customer: look where it really stands", "销售超前于客户：请核实客户采购阶段"),
        None, Condition(fact="synchrony", test="is_not", value="ahead"),
        {"synchrony": "ahead"}, {"synchrony": "in_sync"},
    )  # fmt: skip


def _early(_: Recurring, limits: AnomalyLimits) -> GateRule:
    near = Condition(fact="days_to_close", test="at_most", value=limits.near_close_days)
    early = Condition(fact="probability_low", test="below", value=limits.early_below)
    return _rule(
        "A close date that can be met", "成交日期须可实现",
        ("It is early, and its close date is near: move the date or decide about it",
         "阶段尚早而成交日期临近：请调整日期或作出决定"),
        Condition(all_of=(near, early)), _DECIDED,
        {"days_to_close": limits.near_close_days, "probability_low": limits.early_below - 1}, _PURSUED,
    )  # fmt: skip


_RULES: Mapping[Cause, Callable[[Recurring, AnomalyLimits], GateRule]] = {
    "stalled": _stalled,
    "slipping": _slipping,
    "behind": _behind,
    "ahead": _ahead,
    "early_near_close": _early,
}
