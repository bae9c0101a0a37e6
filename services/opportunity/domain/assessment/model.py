"""The assessment model as versioned data (R4): factors with weights, the threshold, and what makes a priority."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from services.opportunity.domain.commands import Command
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import AssessmentModelDefined, Factor, Priority, PriorityRule
from shared.contracts.refusal import Reason, RefusedError

AssessmentModel = AssessmentModelDefined
DEFAULT_MODEL_KEY: Final = "default"
PRIORITIES: Final[tuple[Priority, ...]] = ("A", "B", "C", "D")


class DefineAssessmentModel(Command):
    """A new version of the model; the rest is as in the event."""

    factors: tuple[Factor, ...]
    highest_score: int = 5
    threshold: int
    priorities: tuple[PriorityRule, ...]


@dataclass(frozen=True, slots=True)
class ModelState:
    """All versions of the model, in order."""

    versions: tuple[AssessmentModel, ...] = ()


def evolve_model(state: ModelState, e: Recorded[Any]) -> ModelState:
    if isinstance(e.event, AssessmentModelDefined):
        return replace(state, versions=(*state.versions, e.event))
    return state


def decide_define_model(state: ModelState, command: DefineAssessmentModel, key: str) -> Sequence[Event]:
    """Refuses (kind input) with every fault at once; nothing to do when the latest version says the same."""
    if faults := [*_bad_factors(command), *_bad_priorities(command)]:
        raise RefusedError(tuple(faults), "input")
    version = len(state.versions) + 1
    defined = AssessmentModelDefined(key=key, version=version, **command.model_dump(exclude={"occurred_at"}))
    if state.versions and state.versions[-1].model_copy(update={"version": version}) == defined:
        return []
    return [defined]


def _bad_factors(command: DefineAssessmentModel) -> Sequence[Reason]:
    faults: list[Reason] = []
    codes = [factor.code for factor in command.factors]
    if not 1 <= len(codes) <= 40:
        faults.append(Reason("bad_factors", f"{len(codes)} factors cannot be scored", "factors", "1 to 40"))
    twice = sorted({code for code in codes if codes.count(code) > 1})
    faults += [Reason("duplicate_code", f"the factor {code!r} is there twice", "factors") for code in twice]
    faults += [
        Reason("missing_name", f"the factor {factor.code!r} has no English name", f"factors.{factor.code}.names.en")
        for factor in command.factors
        if not re.search(r"\S", factor.names.get("en", ""))
    ]
    if not 1 <= command.highest_score <= 100:
        faults.append(Reason("bad_scale", f"0 to {command.highest_score} is no scale", "highest_score", "1 to 100"))
    elif not 0 <= command.threshold <= command.highest_score * 100:
        said = f"a threshold of {command.threshold} hundredths lies off the scale"
        faults.append(Reason("bad_threshold", said, "threshold", f"0 to {command.highest_score * 100}"))
    return faults


def _bad_priorities(command: DefineAssessmentModel) -> Sequence[Reason]:
    """The first rule that fits counts, so each must let pass what the one before does; the last one takes the rest."""
    rules = command.priorities
    if tuple(rule.priority for rule in rules) != PRIORITIES:
        return [Reason("bad_priorities", "there is one rule for each of A, B, C and D, in this order", "priorities")]
    faults: list[Reason] = []
    if rules[-1].closes_within_days is not None or rules[-1].probability_from:
        said = "D takes whatever is left: it has neither days nor a probability"
        faults.append(Reason("bad_priorities", said, "priorities.D"))
    for former, rule in pairwise(rules[:-1]):
        if _days(rule) < _days(former) or rule.probability_from > former.probability_from:
            said = f"{rule.priority} asks for more than {former.priority}, which comes first"
            faults.append(Reason("bad_priorities", said, f"priorities.{rule.priority}", "more days, less probability"))
    deserved = sum(rule.deserves for rule in rules)
    if deserved != 100:
        said = f"the priorities deserve {deserved} % of the effort together"
        faults.append(Reason("bad_shares", said, "priorities", "shares that add up to 100 %"))
    return faults


def _days(rule: PriorityRule) -> float:
    return float("inf") if rule.closes_within_days is None else rule.closes_within_days


def _factors(*parts: tuple[str, int, str, str]) -> tuple[Factor, ...]:
    return tuple(Factor(code=code, weight=weight, names={"en": en, "zh": zh}) for code, weight, en, zh in parts)


DEFAULT_MODEL = DefineAssessmentModel(
    factors=_factors(
        ("project_grade", 15, "Grade of the project", "项目级别"),
        ("funding", 15, "Funding", "资金落实"),
        ("technical_fit", 15, "Technical fit", "技术匹配"),
        ("relationship", 15, "Relationship", "客户关系"),
        ("customer_credit", 10, "Customer's credit", "客户信用"),
        ("product_advantage", 10, "Product against the competition", "产品竞争优势"),
        ("price_advantage", 5, "Price against the competition", "价格竞争优势"),
        ("solution_advantage", 10, "Solution against the competition", "方案竞争优势"),
        ("service_advantage", 5, "Service against the competition", "服务竞争优势"),
    ),
    threshold=250,
    priorities=(
        PriorityRule(priority="A", closes_within_days=90, probability_from=50, deserves=60),
        PriorityRule(priority="B", closes_within_days=180, probability_from=25, deserves=25),
        PriorityRule(priority="C", closes_within_days=365, probability_from=10, deserves=10),
        PriorityRule(priority="D", deserves=5),
    ),
)
