"""The words of the pipeline, its waterfall and its exports, in English and in Chinese: code → (en, zh)."""

from collections.abc import Mapping
from typing import Final

BARS: Final[Mapping[str, tuple[str, str]]] = {
    "new": ("New", "新增"),
    "up": ("Amount up", "金额上调"),
    "down": ("Amount down", "金额下调"),
    "pulled_in": ("Pulled in", "提前进入"),
    "moved_in": ("Moved in", "转入"),
    "pushed_out": ("Pushed out", "推迟移出"),
    "moved_out": ("Moved out", "转出"),
    "reopened": ("Reopened", "重新打开"),
    "lost": ("Lost", "丢单"),
    "abandoned": ("Abandoned", "放弃"),
    "won": ("Won", "赢单"),
}
HEADS: Final[Mapping[str, tuple[str, str]]] = {
    "id": ("Id", "编号"),
    "name": ("Name", "名称"),
    "opportunity": ("Opportunity", "商机"),
    "stage_number": ("Stage no.", "阶段序号"),
    "buying_stage": ("Buying stage", "采购阶段"),
    "probability_low": ("Probability from, %", "概率下限（%）"),
    "probability_high": ("Probability to, %", "概率上限（%）"),
    "amount": ("Amount", "金额"),
    "low": ("Amount, low", "金额下限"),
    "high": ("Amount, high", "金额上限"),
    "weighted": ("Amount, weighted", "加权金额"),
    "currency": ("Currency", "币种"),
    "close_date": ("Close date", "预计成交日期"),
    "reason": ("Reason", "原因"),
    "competitor": ("Competitor", "竞争对手"),
    "flags": ("Doubts", "疑点"),
    "opened_at": ("Opened", "建立时间"),
    "updated_at": ("Changed", "更新时间"),
    "age_days": ("Age, days", "存续天数"),
    "days_in_stage": ("Days in stage", "阶段停留天数"),
    "count": ("Number", "数量"),
    "wins_low": ("Wins expected, low", "预期赢单下限"),
    "wins_high": ("Wins expected, high", "预期赢单上限"),
    "days_median": ("Days in stage, median", "阶段停留天数中位数"),
    "days_longest": ("Days in stage, longest", "阶段停留最长天数"),
    "converted": ("Converted", "折算金额"),
    "converted_currency": ("Converted to", "折算币种"),
    "rate": ("Rate", "汇率"),
    "rate_day": ("Rate of", "汇率日期"),
    "rate_source": ("Rate said by", "汇率来源"),
    "at": ("At", "时间"),
    "bar": ("Change", "变动"),
    "delta": ("Adds to the money", "金额变动"),
    "number": ("Adds to the number", "数量变动"),
    "events": ("Events", "事件"),
}
EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "opportunity.exchange_rate_quoted": ("Exchange rate quoted", "登记汇率"),
}
REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    "rate_missing": ("An exchange rate is missing", "缺少汇率"),
    "same_currency": ("A currency against itself", "币种相同"),
}
