"""The words for gates, waivers and concessions, in English and in Chinese; a part of `labels`."""

from collections.abc import Mapping
from typing import Final

from services.opportunity.domain.gates.facts import FACTS

Words = Mapping[str, tuple[str, str]]

EVENTS: Final[Words] = {
    "opportunity.gate_defined": ("Gate defined", "定义防错规则"),
    "opportunity.gate_retired": ("Gate retired", "停用防错规则"),
    "opportunity.gates_proved": ("Gates proved", "验证防错规则"),
    "opportunity.authority_defined": ("Authority matrix defined", "定义授权矩阵"),
    "opportunity.gate_warned": ("A gate warned", "防错警告"),
    "opportunity.gate_passed_on_waiver": ("A gate was passed on a waiver", "凭豁免通过防错"),
    "opportunity.gate_stopped": ("A gate stopped it", "被防错拦截"),
    "opportunity.gate_waived": ("A gate is waived", "准予豁免"),
    "opportunity.waiver_requested": ("Waiver asked for", "申请豁免"),
    "opportunity.waiver_approved": ("Waiver approved", "批准豁免"),
    "opportunity.waiver_refused": ("Waiver refused", "拒绝豁免"),
    "opportunity.waiver_withdrawn": ("Waiver withdrawn", "撤回豁免申请"),
    "opportunity.concession_granted": ("Concession granted", "给予让步"),
}
ACTS: Final[Words] = {
    "stage_entered": ("Entering a stage", "进入阶段"),
    "stage_completed": ("Completing a stage", "完成阶段"),
    "stage_skipped": ("Skipping a stage", "跳过阶段"),
    "win": ("Winning", "赢单"),
    "discount": ("Discount", "折扣"),
    "price": ("Lower price", "降价"),
    "payment_terms": ("Payment terms", "付款条件"),
    "non_standard_promise": ("Non-standard promise", "非标承诺"),
}
MODES: Final[Words] = {
    "warn": ("Warns", "警告"),
    "control": ("Passes on a waiver alone", "控制"),
    "stop": ("Stops everybody", "停止"),
}
APPROACHES: Final[Words] = {
    "impossible": ("Make it impossible", "使错误不可能发生"),
    "replace": ("Replace the manual step", "替代人工"),
    "simplify": ("Simplify", "简化"),
    "detect": ("Detect", "检测"),
    "limit": ("Limit the loss", "减轻损失"),
}
VERDICTS: Final[Words] = {
    "passes": ("Passes", "通过"),
    "warns": ("Passes with a warning", "警告后通过"),
    "waived": ("Passes on a waiver", "凭豁免通过"),
    "refused": ("Is refused", "拒绝"),
    "warned": ("Warned", "已警告"),
    "stopped": ("Stopped", "已拦截"),
}
WAIVERS: Final[Words] = {
    "requested": ("Asked for", "待审批"),
    "approved": ("Approved", "已批准"),
    "refused": ("Refused", "已拒绝"),
    "withdrawn": ("Withdrawn", "已撤回"),
    "expired": ("Expired", "已过期"),
}
FORCES: Final[Words] = {
    "in_force": ("In force", "生效中"),
    "coming": ("Not in force yet", "尚未生效"),
    "ended": ("No longer in force", "已失效"),
}
FACT_NAMES: Final[Words] = {name: (fact.en, fact.zh) for name, fact in FACTS.items()}
TESTS: Final[Words] = {
    "known": ("on record", "已登记"),
    "unknown": ("not on record", "未登记"),
    "is": ("is", "等于"),
    "is_not": ("is not", "不等于"),
    "at_least": ("at least", "不少于"),
    "at_most": ("at most", "不超过"),
    "above": ("above", "大于"),
    "below": ("below", "小于"),
    "among": ("among", "属于"),
    "not_among": ("not among", "不属于"),
    "has": ("has", "包含"),
    "has_not": ("has not", "不包含"),
}
REFUSALS: Final[Words] = {
    "gate_control": ("A gate stands before it", "防错规则不予通过"),
    "gate_stop": ("A gate stops everybody", "防错规则禁止"),
    "gate_exists": ("The gate exists already", "防错规则已存在"),
    "unknown_gate": ("Unknown gate", "未知防错规则"),
    "gate_not_in_force": ("The gate is not in force", "防错规则未生效"),
    "not_waivable": ("It cannot be waived", "不可豁免"),
    "bad_expiry": ("Malformed expiry", "到期时间错误"),
    "waived_already": ("It is waived already", "已有豁免"),
    "role_missing": ("A role is missing", "缺少角色"),
    "own_request": ("Nobody decides on their own request", "不得审批本人申请"),
    "not_your_request": ("Somebody else asked", "非本人申请"),
    "unknown_person": ("The login is nobody's", "登录名无对应人员"),
    "decided_already": ("It is decided already", "已审批"),
    "waiver_expired": ("The request has expired", "申请已过期"),
    "effective_in_the_past": ("In force before it was said", "生效时间已过"),
    "effective_backwards": ("Ends before it begins", "失效早于生效"),
    "granted_twice": ("Granted twice", "重复授予"),
    "currency_twice": ("The same currency twice", "币种重复"),
    "condition_too_large": ("The condition is too large", "条件过大"),
    "bad_condition": ("Malformed condition", "条件格式错误"),
    "unknown_fact": ("Unknown fact", "未知事实"),
    "bad_test": ("That fact is not tested so", "比较方式错误"),
    "bad_value": ("It cannot be compared with that", "比较值错误"),
    "bad_guard": ("Malformed guard", "防错对象错误"),
    "bad_level": ("Level and mode do not agree", "级别与方式不符"),
    "proof_missing": ("A proof is missing", "缺少验证用例"),
    "concession_late": ("There is a later word on it", "已有更晚的让步"),
    "proof_fails": ("A proof fails", "验证用例不通过"),
    "bad_backtest": ("Malformed back-test", "回测设置错误"),
    "unknown_version": ("Unknown version", "未知版本"),
    "no_authority": ("Nobody has said who may concede what", "尚未定义授权矩阵"),
    "bad_concession": ("Malformed concession", "让步内容错误"),
    "over_authority": ("Beyond your authority", "超出授权"),
}
LABELS: Final[Mapping[str, Words]] = {
    "act": ACTS,
    "gate_mode": MODES,
    "gate_approach": APPROACHES,
    "gate_verdict": VERDICTS,
    "gate_force": FORCES,
    "waiver": WAIVERS,
    "fact": FACT_NAMES,
    "fact_test": TESTS,
}
