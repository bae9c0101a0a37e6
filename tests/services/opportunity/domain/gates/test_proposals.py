"""Rules that recurring anomalies propose: they can be meant, and fire on what proposed them."""

import re
from typing import Any

import pytest

from services.opportunity.api.proposals import recurring
from services.opportunity.domain.anomalies.limits import DEFAULT_LIMITS
from services.opportunity.domain.gates.facts import Facts
from services.opportunity.domain.gates.proposals import Cause, Recurring, propose
from services.opportunity.domain.gates.rule import faults_of, judge
from shared.contracts.opportunity import AnomalyLimitsDefined
from tests.services.opportunity.deals import DEFAULT

LIMITS = AnomalyLimitsDefined(key="default", version=1, **DEFAULT_LIMITS.model_dump(exclude={"occurred_at"}))
STALLED = Recurring("stalled", 3, "default", 2, 30, "discovery")
PROCESSES = {("default", 1): DEFAULT}


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
    assert {case.expect for case in rule.proofs} == {"fires", "passes"}
    assert {guard.act for guard in rule.guards} == {"stage_completed", "stage_skipped"}
    assert not [*faults_of(rule.model_copy(update={"mode": "control"}))]


def test_it_does_not_fire_elsewhere() -> None:
    rule = propose(STALLED, LIMITS)
    assert rule.guards[0].stages == (2,)
    assert judge(rule, {"process": "short", "days_in_stage": 31}).verdict == "passes"
    assert judge(rule, {"process": "default", "days_in_stage": 30}).verdict == "passes"


def row(code: str, value: int = 5, stage: int = 2) -> dict[str, Any]:
    return {"code": code, "process": "default", "process_version": 1, "stage": stage, "limit": 30, "value": value}


def test_only_what_recurs_proposes_anything() -> None:
    rows = [row("stalled")] * 3 + [row("stalled", stage=3)] * 2 + [row("out_of_sync", -1)] * 4
    rows += [row("out_of_sync", 1)] * 2 + [row("slipping"), row("early_near_close")]
    found: list[tuple[Cause, int]] = [(one.cause, one.count) for one in recurring(rows, PROCESSES, 3)]
    assert found == [("ahead", 4), ("stalled", 3)]
    keys = [one.key for one in recurring(rows, PROCESSES, 2)]
    assert [key[:25] for key in keys] == [
        "after_ahead",
        "after_stalled_discovery_" + keys[1][24],
        "after_behind",
        "after_stalled_initial_pro",
    ]


def test_no_two_places_propose_one_key() -> None:
    places = [
        Recurring("stalled", 3, process, stage, 30, code)
        for process in ("bid-a", "bid_a", "b" * 60)
        for stage in (1, 2)
        for code in ("c" * 60, "c" * 59 + "d")
    ]
    keys = {place.key for place in places}
    assert len(keys) == len(places)
    assert all(re.fullmatch("[a-z][a-z0-9_]{0,59}", key) for key in keys)
