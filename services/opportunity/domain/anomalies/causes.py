"""What is abnormal, told in a sentence, in English and in Chinese."""

from collections.abc import Callable, Mapping

from services.opportunity.domain.anomalies.opportunity import AnomalyCode

Cause = tuple[str, str]


def cause(code: AnomalyCode, value: int, limit: int, stage: Cause) -> Cause:
    """(English, Chinese). `stage`: the names of the working stage; of `piled_up`, of the stage in which they pile up."""
    return _CAUSES[code](value, limit, stage)


def _stalled(value: int, limit: int, stage: Cause) -> Cause:
    return (
        f"{_days(value)} in the stage {stage[0]}; the limit is {_days(limit)}",
        f"在“{stage[1]}”阶段已停留{value}天，上限为{limit}天",
    )


def _slipping(value: int, limit: int, _: Cause) -> Cause:
    return (
        f"The close date was put off {_times(value)}; the limit is {limit}",
        f"预计成交日期已推迟{value}次，上限为{limit}次",
    )


def _out_of_sync(value: int, limit: int, stage: Cause) -> Cause:
    stages = "stage" if abs(value) == 1 else "stages"
    if value < 0:
        return (
            f"We stand at {stage[0]}, {-value} {stages} ahead of the customer; the limit is {limit}",
            f"我方处于“{stage[1]}”阶段，超前客户{-value}个阶段，上限为{limit}个",
        )
    return (
        f"We stand at {stage[0]}, {value} {stages} behind the customer; the limit is {limit}",
        f"我方处于“{stage[1]}”阶段，落后客户{value}个阶段，上限为{limit}个",
    )


def _early(value: int, limit: int, stage: Cause) -> Cause:
    when = f"its close date is {_days(value)} away" if value >= 0 else f"its close date was {_days(-value)} ago"
    zh = f"距预计成交日期还有{value}天" if value >= 0 else f"预计成交日期已过{-value}天"
    return (
        f"A big one still at {stage[0]}, though {when}; it should be further {_days(limit)} before",
        f"大额商机仍处于“{stage[1]}”阶段，{zh}，应提前{limit}天走得更远",
    )


def _piled_up(value: int, limit: int, stage: Cause) -> Cause:
    return (
        f"{value} opportunities pile up at {stage[0]}; the limit is {limit}",
        f"“{stage[1]}”阶段堆积了{value}个商机，上限为{limit}个",
    )


def _nothing_new(value: int, limit: int, _: Cause) -> Cause:
    return (
        f"No new opportunity for {_days(value)}; the limit is {_days(limit)}",
        f"已有{value}天没有新商机，上限为{limit}天",
    )


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


_CAUSES: Mapping[AnomalyCode, Callable[[int, int, Cause], Cause]] = {
    "stalled": _stalled,
    "slipping": _slipping,
    "out_of_sync": _out_of_sync,
    "early_near_close": _early,
    "piled_up": _piled_up,
    "nothing_new": _nothing_new,
}
