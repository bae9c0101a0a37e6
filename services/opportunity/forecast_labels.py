"""The words of forecasts, targets and submissions, in English and in Chinese: code → (en, zh)."""

from collections.abc import Mapping
from typing import Final

CATEGORIES: Final[Mapping[str, tuple[str, str]]] = {
    "pipeline": ("Pipeline", "培育中"),
    "best_case": ("Best case", "最佳情况"),
    "commit": ("Commit", "承诺"),
    "closed": ("Closed", "已成交"),
    "omitted": ("Omitted", "不计入"),
}
HOLDERS: Final[Mapping[str, tuple[str, str]]] = {
    "person": ("Person", "个人"),
    "team": ("Team", "团队"),
    "company": ("Company", "公司"),
}
SLOTS: Final[Mapping[str, tuple[str, str]]] = {
    "overdue": ("Close date is over", "预计成交日期已过"),
    "undated": ("No close date", "无预计成交日期"),
}
HEADS: Final[Mapping[str, tuple[str, str]]] = {
    "period": ("Period", "期间"),
    "closed": ("Won so far", "已成交金额"),
    "target": ("Target", "目标"),
    "gap": ("Gap to the target", "目标差距"),
    "gap_low": ("Gap, low forecast", "目标差距（低）"),
    "gap_high": ("Gap, high forecast", "目标差距（高）"),
    "judged": ("Judged by managers", "经理判断金额"),
    "forecast": ("Forecast category", "预测类别"),
}
EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "opportunity.forecast_categorised": ("Forecast category said", "设定预测类别"),
    "opportunity.forecast_judged": ("Forecast judged", "经理判断预测"),
    "opportunity.target_set": ("Target set", "设定目标"),
    "opportunity.forecast_submitted": ("Forecast submitted", "提交预测"),
}
ACTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "forecast": ("Say what may be counted on", "预测"),
}
REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    "nothing_said": ("Nothing was said", "没有内容"),
    "closed_by_winning": ("Closed follows from winning", "成交由赢单产生"),
    "bad_period": ("No such period", "期间错误"),
    "bad_holder": ("Malformed holder", "目标对象错误"),
    "period_over": ("The period is over", "期间已结束"),
    "too_many_lines": ("Too many opportunities", "商机过多"),
    "no_person": ("The login is no person of ours", "登录名没有对应人员"),
    "not_led": ("You do not lead that team", "不是该团队负责人"),
    "own_target": ("Nobody sets their own target", "不得设定本人目标"),
}
LABELS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "forecast": CATEGORIES,
    "holder": HOLDERS,
    "forecast_slot": SLOTS,
}
