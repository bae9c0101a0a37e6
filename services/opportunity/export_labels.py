"""The heads of columns that only files have, in English and in Chinese: code → (en, zh)."""

from collections.abc import Mapping
from typing import Final

HEADS: Final[Mapping[str, tuple[str, str]]] = {
    "anomaly": ("Abnormal", "异常"),
    "cause": ("Cause", "异常说明"),
    "since": ("Since", "开始时间"),
    "value": ("Value", "数值"),
    "limit": ("Limit", "上限"),
    "holder_kind": ("Kind of holder", "对象类型"),
    "holder": ("Holder", "对象"),
    "note": ("Note", "备注"),
    "effective_from": ("Effective from", "生效时间"),
    "recorded_at": ("Recorded", "记录时间"),
    "actor": ("Said by", "操作人"),
    "submission": ("Submission", "提交编号"),
    "submitted_at": ("Submitted at", "提交时间"),
    "standing": ("Superseded by none", "未被取代"),
    "lines": ("Opportunities", "商机数"),
    "beside": ("Judged into the period", "经理判断列入"),
    "judged_close_date": ("Judged close date", "经理判断成交日期"),
    "won": ("Won", "赢单数"),
    "won_amount": ("Won, money", "赢单金额"),
    "outcome_now": ("Outcome now", "当前结果"),
    "days_from": ("Days before the end, from", "距期末天数（起）"),
    "days_to": ("Days before the end, to", "距期末天数（止）"),
    "measure": ("Measure", "口径"),
    "submissions": ("Submissions", "提交次数"),
    "submitted": ("Submitted, money", "提交金额"),
    "won_share": ("Won, %", "赢单占比（%）"),
    "expected_share": ("Expected to be won, %", "预期赢单占比（%）"),
    "error": ("Submitted less won", "偏差"),
    "absolute_error": ("Missed by, each by itself", "绝对偏差"),
    "from_currency": ("One", "源币种"),
    "to_currency": ("Was worth", "目标币种"),
    "day": ("On", "日期"),
    "source": ("Says", "来源"),
    "priority": ("Priority", "优先级"),
    "visits": ("Visits", "拜访次数"),
    "minutes": ("Minutes", "分钟数"),
    "visits_share": ("Visits, %", "拜访占比（%）"),
    "minutes_share": ("Minutes, %", "时间占比（%）"),
    "deserves": ("Deserves, %", "应得占比（%）"),
    "group": ("Group", "分组"),
}
SIDES: Final[Mapping[str, tuple[str, str]]] = {"opening": ("Opening", "期初"), "closing": ("Closing", "期末")}
MEASURES: Final[Mapping[str, tuple[str, str]]] = {
    "weighted": ("Weighted", "加权"),
    "commit": ("Commit", "承诺"),
    "judged": ("Judged by managers", "经理判断"),
}
