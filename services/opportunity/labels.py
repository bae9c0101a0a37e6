"""Every code that the service shows to people, in English and in Chinese: group → code → (en, zh).

Names of stages, milestones and criteria are not here: they are data of their sales process.
"""

from collections.abc import Mapping
from typing import Final

from services.opportunity import forecast_labels, gate_labels, pipeline_labels
from shared.web.language import Language

Words = Mapping[str, tuple[str, str]]

OUTCOMES: Final[Words] = {
    "open": ("Open", "进行中"),
    "paused": ("Paused", "暂停"),
    "won": ("Won", "赢单"),
    "lost": ("Lost", "丢单"),
    "abandoned": ("Abandoned", "放弃"),
}
SYNCHRONY: Final[Words] = {
    "in_sync": ("In sync", "同步"),
    "behind": ("Behind the customer", "落后于客户"),
    "at_risk": ("At risk: far behind", "有风险：严重落后"),
    "ahead": ("Ahead of the customer", "超前于客户"),
}
FUNNEL_STATES: Final[Words] = {
    "searching": ("Searching", "寻找中"),
    "in_funnel": ("In the funnel", "漏斗中"),
    "best": ("Best few", "最佳机会"),
}
ACTIONS: Final[Words] = {
    "milestone": ("Evidence a milestone", "记录里程碑"),
    "commitment": ("Evidence a commitment", "记录客户承诺"),
    "retract_milestone": ("Take back a milestone", "撤回里程碑"),
    "retract_commitment": ("Take back a commitment", "撤回客户承诺"),
    "buying_stage": ("Observe the buying stage", "记录采购阶段"),
    "skip": ("Skip the stage", "跳过阶段"),
    "regression": ("Go back", "退回阶段"),
    "risk_decision": ("Decide about the risk", "风险决策"),
    "assert_progress": ("Assert progress from elsewhere", "认定迁入进度"),
    "amount": ("Change the amount", "修改金额"),
    "close_date": ("Change the close date", "修改预计成交日期"),
    "line_items": ("Agree the product lines", "确定产品明细"),
    "owner": ("Hand over to another owner", "更换负责人"),
    "team": ("Hand over to another team", "更换团队"),
    "account": ("Assign the account", "指定客户"),
    "name": ("Rename", "重命名"),
    "comment": ("Comment", "评论"),
    "file": ("Attach a file", "附加文件"),
    "assessment": ("Assess", "评估商机"),
    "effort": ("Record effort", "记录投入"),
    **forecast_labels.ACTIONS,
    "flags": ("Say what is doubtful", "标记疑点"),
    "pause": ("Pause", "暂停"),
    "resume": ("Resume", "恢复"),
    "win": ("Win", "赢单"),
    "lose": ("Lose", "丢单"),
    "abandon": ("Abandon", "放弃"),
    "reopen": ("Reopen", "重新打开"),
    "concession": ("Concede something", "给予让步"),
}
EVENTS: Final[Words] = {
    "opportunity.opened": ("Opened", "建立商机"),
    "opportunity.renamed": ("Renamed", "重命名"),
    "opportunity.account_assigned": ("Account assigned", "指定客户"),
    "opportunity.owner_assigned": ("Owner assigned", "指定负责人"),
    "opportunity.team_assigned": ("Team assigned", "指定团队"),
    "opportunity.amount_estimated": ("Amount estimated", "估算金额"),
    "opportunity.amount_raised": ("Amount raised", "金额上调"),
    "opportunity.amount_reduced": ("Amount reduced", "金额下调"),
    "opportunity.close_date_set": ("Close date set", "设定预计成交日期"),
    "opportunity.close_date_pushed_out": ("Close date pushed out", "预计成交日期推迟"),
    "opportunity.close_date_pulled_in": ("Close date pulled in", "预计成交日期提前"),
    "opportunity.line_items_agreed": ("Product lines agreed", "确定产品明细"),
    "opportunity.commented": ("Commented", "评论"),
    "opportunity.file_attached": ("File attached", "附加文件"),
    "opportunity.flagged": ("Doubts noted", "标记疑点"),
    "opportunity.external_id_linked": ("Linked to another system", "关联外部系统"),
    "opportunity.external_id_claimed": ("External id claimed", "登记外部编号"),
    "opportunity.milestone_reached": ("Milestone reached", "达成里程碑"),
    "opportunity.milestone_retracted": ("Milestone taken back", "撤回里程碑"),
    "opportunity.commitment_given": ("Commitment given", "客户作出承诺"),
    "opportunity.commitment_retracted": ("Commitment taken back", "撤回客户承诺"),
    "opportunity.stage_entered": ("Stage entered", "进入阶段"),
    "opportunity.stage_left": ("Stage left", "离开阶段"),
    "opportunity.stage_completed": ("Stage completed", "完成阶段"),
    "opportunity.stage_skipped": ("Stage skipped", "跳过阶段"),
    "opportunity.stage_regressed": ("Gone back", "退回阶段"),
    "opportunity.buying_stage_observed": ("Buying stage observed", "观察到采购阶段"),
    "opportunity.risk_decided": ("Risk decided", "风险已决策"),
    "opportunity.assessed": ("Assessed", "评估商机"),
    "opportunity.effort_spent": ("Effort spent", "投入精力"),
    "opportunity.assessment_model_defined": ("Assessment model defined", "定义评估模型"),
    "opportunity.anomaly_limits_defined": ("Limits defined", "定义异常上限"),
    "opportunity.won": ("Won", "赢单"),
    "opportunity.lost": ("Lost", "丢单"),
    "opportunity.abandoned": ("Abandoned", "放弃"),
    "opportunity.paused": ("Paused", "暂停"),
    "opportunity.resumed": ("Resumed", "恢复"),
    "opportunity.reopened": ("Reopened", "重新打开"),
    "opportunity.process_defined": ("Sales process defined", "定义销售流程"),
    **forecast_labels.EVENTS,
    **gate_labels.EVENTS,
    **pipeline_labels.EVENTS,
}
EVIDENCE: Final[Words] = {
    "note": ("Note", "说明"),
    "link": ("Link", "链接"),
    "file": ("File", "文件"),
    "asserted_at_migration": ("Asserted at migration", "迁移时认定"),
    "milestone": ("Milestone", "里程碑"),
    "criterion": ("Success criterion", "成功标准"),
}
RISK_DECISIONS: Final[Words] = {"catch_up": ("Catch up", "追赶"), "give_up": ("Give up", "放弃")}
PRIORITIES: Final[Words] = {
    "A": ("A: all-out", "A：全力投入"),
    "B": ("B: controlled effort", "B：适度投入"),
    "C": ("C: watch", "C：关注"),
    "D": ("D: last", "D：最后"),
}
ASSESSMENT_DECISIONS: Final[Words] = {
    "pursue": ("Pursue", "继续跟进"),
    "lower_effort": ("Lower the effort", "降低投入"),
    "drop": ("Drop", "放弃"),
}
FORECASTS: Final[Words] = forecast_labels.CATEGORIES
ANOMALIES: Final[Words] = {
    "stalled": ("Stalled", "停滞"),
    "slipping": ("Slipping", "一再推迟"),
    "out_of_sync": ("Out of sync", "与客户不同步"),
    "early_near_close": ("Big, early and near its close date", "大额商机临近成交仍处早期"),
    "piled_up": ("Piled up in one stage", "堆积在同一阶段"),
    "nothing_new": ("Nothing new", "没有新商机"),
}
GROUPS: Final[Words] = {
    "state": ("Funnel state", "漏斗状态"),
    "stage": ("Stage", "阶段"),
    "synchrony": ("Synchrony", "同步性"),
    "owner": ("Owner", "负责人"),
    "team": ("Team", "团队"),
    "account": ("Account", "客户"),
    "process": ("Sales process", "销售流程"),
    "outcome": ("Outcome", "结果"),
}
BELONGING: Final[Words] = {"then": ("Then", "当时归属"), "now": ("Now", "当前归属")}
PERIODS: Final[Words] = {
    "day": ("Day", "日"),
    "week": ("Week", "周"),
    "month": ("Month", "月"),
    "quarter": ("Quarter", "季度"),
    "half": ("Half-year", "半年"),
    "year": ("Fiscal year", "财年"),
}
ROLES: Final[Words] = {
    "seller": ("Seller", "销售"),
    "manager": ("Manager", "经理"),
    "executive": ("Executive", "高管"),
    "finance": ("Finance", "财务"),
    "operations": ("Operations", "运营"),
    "integration": ("Integration", "系统集成"),
}
FLAGS: Final[Words] = {
    "no_account": ("No account", "缺少客户"),
    "no_seller": ("No seller", "缺少销售"),
    "no_product": ("No product", "缺少产品"),
    "unknown_account": ("Unknown account", "未知客户"),
    "unknown_seller": ("Unknown seller", "未知销售"),
    "unknown_product": ("Unknown product", "未知产品"),
    "account_refused": ("Account was refused", "客户未通过"),
    "person_refused": ("Person was refused", "人员未通过"),
    "product_refused": ("Product was refused", "产品未通过"),
    "product_spelling": ("Product was spelt otherwise", "产品名称拼写不一致"),
    "undated": ("No date", "缺少日期"),
    "won_for_nothing": ("Won for nothing", "赢单金额为零"),
}
REFUSALS: Final[Words] = {
    "already_open": ("It exists already", "商机已存在"),
    "already_won": ("It is won already", "商机已赢单"),
    "already_lost": ("It is lost already", "商机已丢单"),
    "already_abandoned": ("It is abandoned already", "商机已放弃"),
    "paused": ("It is paused", "商机已暂停"),
    "not_paused": ("It is not paused", "商机未暂停"),
    "not_closed": ("It has not ended", "商机未结束"),
    "not_at_risk": ("It is not at risk", "商机没有风险"),
    "not_backwards": ("That is not going back", "不是退回"),
    "not_evidenced": ("It is not on record", "没有该记录"),
    "not_found": ("There is no such thing", "不存在"),
    "not_yours": ("It is not yours", "无权处理"),
    "migration_only": ("Only when bringing deals in", "仅限迁入商机"),
    "stages_missing": ("Stages are missing", "阶段未完成"),
    "wrong_stage_order": ("Wrong order of stages", "阶段顺序错误"),
    "unknown_stage": ("Unknown stage", "未知阶段"),
    "unknown_milestone": ("Unknown milestone", "未知里程碑"),
    "unknown_criterion": ("Unknown success criterion", "未知成功标准"),
    "unknown_process": ("Unknown sales process", "未知销售流程"),
    "unknown_account": ("Unknown account", "未知客户"),
    "unknown_owner": ("Unknown person", "未知人员"),
    "unknown_team": ("Unknown team", "未知团队"),
    "unknown_product": ("Unknown product", "未知产品"),
    "process_fixed": ("The sales process is fixed", "销售流程不可更改"),
    "external_id_fixed": ("The external id is fixed", "外部编号不可更改"),
    "external_id_taken": ("The external id is taken", "外部编号已被占用"),
    "bad_external_id": ("Malformed external id", "外部编号格式错误"),
    "bad_system": ("Malformed name of a system", "系统名称格式错误"),
    "bad_id": ("Malformed id", "编号格式错误"),
    "negative_amount": ("Negative amount", "金额为负"),
    "mixed_currencies": ("Several currencies", "币种不一致"),
    "impossible_date": ("Impossible date", "日期不可能"),
    "before_opening": ("Before it was opened", "早于建立时间"),
    "out_of_order": ("Out of order in time", "时间顺序错误"),
    "occurred_at_ahead": ("In the future", "时间在未来"),
    "occurred_at_without_zone": ("Time without its zone", "时间缺少时区"),
    "bad_stage_numbers": ("Stages wrongly numbered", "阶段编号错误"),
    "duplicate_code": ("The same code twice", "代码重复"),
    "missing_name": ("A name is missing", "缺少名称"),
    "unmatched_stages": ("Stages do not answer each other", "阶段不对应"),
    "falling_probability": ("Falling probability", "概率下降"),
    "missing_criterion": ("A success criterion is missing", "缺少成功标准"),
    "no_model": ("No assessment model", "缺少评估模型"),
    "decision_missing": ("A decision is missing", "缺少决定"),
    "reason_missing": ("A reason is missing", "缺少理由"),
    "score_missing": ("A score is missing", "缺少评分"),
    "unknown_factor": ("Unknown factor", "未知评估因素"),
    "score_off_scale": ("Off the scale", "评分超出范围"),
    "nothing_spent": ("Nothing was spent", "没有投入"),
    "effort_below_zero": ("More than was spent", "超过已投入"),
    "bad_factors": ("Wrong number of factors", "评估因素数量错误"),
    "bad_scale": ("No scale", "评分范围错误"),
    "bad_threshold": ("Threshold off the scale", "门槛超出评分范围"),
    "bad_priorities": ("Wrong rules of priority", "优先级规则错误"),
    "bad_shares": ("Shares do not add up", "份额之和不为百分之百"),
    "duplicate_currency": ("The same currency twice", "币种重复"),
    "bad_gap": ("Malformed gap", "差距设置错误"),
    "bad_key": ("Malformed key", "流程代码格式错误"),
    "no_file": ("No file is named", "未指定文件"),
    "unknown_file": ("Unknown file", "未知文件"),
    "too_many_files": ("Too many files", "文件过多"),
    "bad_idempotency_key": ("Malformed Idempotency-Key", "幂等键格式错误"),
    **forecast_labels.REFUSALS,
    **gate_labels.REFUSALS,
    **pipeline_labels.REFUSALS,
}
LABELS: Final[Mapping[str, Words]] = {
    "outcome": OUTCOMES,
    "synchrony": SYNCHRONY,
    "funnel_state": FUNNEL_STATES,
    "action": ACTIONS,
    "event": EVENTS,
    "evidence": EVIDENCE,
    "risk_decision": RISK_DECISIONS,
    "priority": PRIORITIES,
    "assessment_decision": ASSESSMENT_DECISIONS,
    "anomaly": ANOMALIES,
    "group_by": GROUPS,
    "belonging": BELONGING,
    "period": PERIODS,
    "role": ROLES,
    "flag": FLAGS,
    "refusal": REFUSALS,
    **forecast_labels.LABELS,
    **gate_labels.LABELS,
    "bar": pipeline_labels.BARS,
}


def word(words: Words, code: str, language: Language) -> str:
    """The label of a code; the code itself, in words, when it is one that nobody has named."""
    found = words.get(code)
    if found is None:
        return code.replace("_", " ")
    return found[0] if language == "en" else found[1]
