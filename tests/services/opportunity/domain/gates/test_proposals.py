"""Rules that recurring anomalies propose: they can be meant, and fire on what proposed them."""

from typing import Any

import pytest

from services.opportunity.api.proposals import recurring
from services.opportunity.domain.anomalies.limits import DEFAULT_LIMITS
from services.opportunity.domain.gates.facts import Facts
from services.opportunity.domain.gates.proposals import Cause, Recurring, propose
from services.opportunity.domain.gates.rule import faults_of, judge
from shared.contracts.opportunity import AnomalyLimitsDefined

LIMITS = AnomalyLimitsDefined(key="default", version=1, **DEFAULT_LIMITS.model_dump(exclude={"occurred_at"}))
STALLED = Recurring("stalled", 3, "default", 2, 30)


@pytest.mark.parametrize(
    ("found", "shows", "mended"),
    [
        (STALLED, {"process": "default", "days_in_stage": 31}, {"assessment_decision": "pursue"}),
        (Recurring("slipping", 3), {"times_pushed_out": LIMITS.pushed_out}, {"assessment_decision": "drop"}),
        (Recurring("behind", 3), {"synchrony": "at_risk"}, {"risk_decision": "catch_up"}),
        (Recurring("ahead", 3), {"synchrony": "ahead"}, {"synchrony": "in_sync"}),
        (
            Recurring("early_near_close", 3),
            {"days_to_close": LIMITS.near_close_days, "probability_low": LIMITS.early_below - 1},
            {"assessment_decision": "pursue"},
        ),
    ],
)
def test_it_fires_on_what_proposed_it_and_on_nothing_that_is_mended(
    found: Recurring, shows: dict[str, Any], mended: dict[str, Any]
) -> None:
    rule = propose(found, LIMITS)
    facts: Facts = shows
    assert not [*faults_of(rule)]
    assert judge(rule, facts).verdict == "fires"
    assert judge(rule, {**facts, **mended}).verdict == "passes"


def test_it_does_not_fire_elsewhere() -> None:
    rule = propose(STALLED, LIMITS)
    assert rule.guards[0].stages == (2,)
    assert judge(rule, {"process": "short", "days_in_stage": 31}).verdict == "passes"
    assert judge(rule, {"process": "default", "days_in_stage": 30}).verdict == "passes"


def row(code: str, value: int = 5, stage: int = 2) -> dict[str, Any]:
    return {"code": code, "process": "default", "stage": stage, "limit": 30, "value": value}


def test_only_what_recurs_proposes_anything() -> None:
    rows = [row("stalled")] * 3 + [row("stalled", stage=3)] * 2 + [row("out_of_sync", -1)] * 4
    rows += [row("out_of_sync", 1)] * 2 + [row("slipping"), row("early_near_close")]
    found: list[tuple[Cause, int]] = [(one.cause, one.count) for one in recurring(rows, 3)]
    assert found == [("ahead", 4), ("stalled", 3)]
    assert [one.key for one in recurring(rows, 2)] == [
        "after_ahead",
        "after_stalled_default_2",
        "after_behind",
        "after_stalled_default_3",
    ]
